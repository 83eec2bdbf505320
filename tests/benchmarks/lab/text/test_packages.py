import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.lab.text.build import build, train_file
from benchmarks.lab.text.packages import Package, PackagesError, files_of
from benchmarks.lab.text.sources import Source, pages
from tests.fixtures.tiers import program


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package of the kind that Debian's documentation comes in."""
    dpkg_deb = program("dpkg-deb", install="apt-get install dpkg")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: small-doc\nVersion: 1.2-3\nArchitecture: all\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: pages\n"
    )
    (root / "usr/share/doc/small").mkdir(parents=True)
    (root / "usr/share/doc/small/a.html").write_text("<p>This is the only page of it.</p>")
    (root / "usr/share/doc/small/b.html").write_text("<p>And this one is another page.</p>")
    folder = tmp_path / "packages"
    folder.mkdir()
    subprocess.run([dpkg_deb, "--build", root, folder / "small-doc_1.2-3_all.deb"], check=True)
    return folder / "small-doc_1.2-3_all.deb"


@pytest.mark.integration
def test_text_is_built_from_a_folder_of_packages(package: Path, tmp_path: Path) -> None:
    source = Source("small", "small-doc", "public domain", pages("usr/share/doc/small"))
    text = build([source], packages=package.parent, folder=tmp_path / "text")
    digest = sha256(package.read_bytes()).hexdigest()
    assert text.packages == [Package(name="small-doc", version="1.2-3", sha256=digest)]
    assert len(train_file(tmp_path / "text").read_text().splitlines()) == 1  # the other is held out


@pytest.mark.integration
def test_a_damaged_package_is_named(package: Path) -> None:
    package.write_bytes(b"no package")
    with pytest.raises(PackagesError, match=r"small-doc_1\.2-3_all\.deb cannot be read"):
        Package.of(package)


def test_without_apt_the_missing_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    (tmp_path / "one_1_all.deb").touch()
    with pytest.raises(PackagesError, match=r"put the \.deb files of two, three of Debian 12"):
        files_of(["one", "two", "three"], tmp_path)


def test_two_versions_of_a_package_are_refused(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / f"one_{version}_all.deb").touch()
    with pytest.raises(PackagesError, match="has 2 files of one; leave one there"):
        files_of(["one"], tmp_path)
