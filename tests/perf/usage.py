"""What a process has used so far, as the kernel counts it."""

import os
from pathlib import Path


def usage(pid: int) -> dict[str, float]:
    """Return resident memory now and at its peak, in MB, and the processor seconds."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    kb = {k: int(v.split()[0]) for k, _, v in (x.partition(":") for x in lines) if "Vm" in k}
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"rss_mb": kb["VmRSS"] / 1024, "peak_mb": kb["VmHWM"] / 1024, "cpu_s": cpu}
