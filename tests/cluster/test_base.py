from agenttask_cluster import base


def test_mirror_comes_from_the_machines_sources(tmp_path):
    (tmp_path / "sources.list").write_text(
        "# deb http://old.invalid/debian bookworm main\n"
        "deb [signed-by=/k.gpg] http://mirror.invalid/debian bookworm main\n"
    )
    assert base.find_mirror(tmp_path) == "http://mirror.invalid/debian"


def test_mirror_comes_from_paragraphs(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.invalid/debian-security\nSuites: bookworm-security\n\n"
        "Types: deb\n# a comment: here\nURIs: http://mirror.invalid/debian\nSuites: bookworm x\n"
    )
    assert base.find_mirror(tmp_path) == "http://mirror.invalid/debian"
