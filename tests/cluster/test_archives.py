import json
import tarfile

from agenttask_cluster import archives


def test_program_is_packed_as_an_image_for_no_user_in_particular(tmp_path):
    binary = tmp_path / "pause"
    binary.write_bytes(b"program")
    archive = archives.pack_program("localhost/pause:1", binary, tmp_path / "image.tar")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    config = json.loads((tmp_path / manifest[0]["Config"]).read_text())
    assert manifest[0]["RepoTags"] == ["localhost/pause:1"]
    assert config["config"] == {"Entrypoint": ["/pause"], "User": archives.NONROOT}
