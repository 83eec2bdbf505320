"""The form of a new job, in a browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from yaml import safe_dump, safe_load

from jobs.backends import Backends
from jobs.schemas.datasets import DatasetStatus
from tests.service.dashboard.conftest import Pages
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import spec_of

if TYPE_CHECKING:
    from playwright.sync_api import Route


def test_a_job_is_submitted_from_the_form(pages: Pages, backends: Backends) -> None:
    with pages.open("/new") as page:
        page.wait_for_selector("text=Would be accepted")
        page.wait_for_selector("text=Full rank")
        look(page, "new")
        page.fill("[name='name']", "from-the-form")
        page.fill("[name='method.rank']", "24")
        assert "rank: 24" in page.input_value("textarea")
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url("**/jobs/job_*")
    (job,) = backends.store.list()
    assert job.name == "from-the-form"
    assert job.spec.method.model_dump()["rank"] == 24


def test_a_wrong_field_is_told_beside_it_and_cannot_be_submitted(pages: Pages) -> None:
    with pages.open("/new", theme="dark") as page:
        page.wait_for_selector("text=Would be accepted")
        page.fill("[name='method.rank']", "0")
        page.wait_for_selector(".row .bad >> text=must be at least 1")
        assert page.get_by_role("button", name="Submit").is_disabled()
        look(page, "new-invalid")
        page.fill("[name='method.rank']", "16")
        page.wait_for_selector("text=Would be accepted")


def test_yaml_and_form_are_two_views_of_one_spec(pages: Pages) -> None:
    with pages.open("/new") as page:
        page.wait_for_selector("text=Would be accepted")
        yaml = page.input_value("textarea")
        page.fill("textarea", yaml.replace("rank: 16", "rank: 48"))
        assert page.input_value("[name='method.rank']") == "48"
        page.fill("textarea", "name: [")
        page.wait_for_selector("text=The YAML cannot be read")
        page.fill("textarea", yaml)
        page.wait_for_selector("text=Would be accepted")


def test_the_spec_of_a_job_is_the_start_of_another(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    job = backends.store.create(spec_of("first", document))
    with pages.open(f"/jobs/{job.id}?tab=spec") as page:
        page.click("text=Fork with changes")
        page.wait_for_selector("text=Would be accepted")
        page.fill("[name='name']", "second")
        page.fill("[name='method.rank']", "8")
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url("**/jobs/job_*")
    second = next(one for one in backends.store.list() if one.name == "second")
    assert second.forked_from == job.id
    before, after = job.spec.model_dump(), second.spec.model_dump()
    assert (before["method"]["rank"], after["method"]["rank"]) == (16, 8)
    for changed in ("name", "method"):
        del before[changed], after[changed]
    assert after == before


def test_a_data_set_that_is_dropped_is_uploaded_and_trained_on(
    pages: Pages, backends: Backends
) -> None:
    text = '{"text": "In the beginning"}\n' * 400_000  # in two parts
    with pages.open("/new") as page:
        page.wait_for_selector("text=Would be accepted")
        dropped = page.evaluate_handle(
            """text => {
                const data = new DataTransfer();
                data.items.add(new File([text], "words.jsonl"));
                return data;
            }""",
            text,
        )
        page.dispatch_event(".drop", "drop", {"dataTransfer": dropped})
        page.wait_for_selector("text=words.jsonl is uploaded")
        look(page, "new-dropped")
        (dataset,) = backends.datasets.list("default", limit=2)
        assert f"uri: {dataset.uri}" in page.input_value("textarea")
        page.wait_for_selector("text=Would be accepted")
    assert dataset.status is DatasetStatus.READY
    assert (dataset.filename, dataset.size) == ("words.jsonl", len(text))


def test_another_method_is_a_fork_without_the_fields_of_the_first(
    pages: Pages, backends: Backends, document: dict[str, Any]
) -> None:
    job = backends.store.create(spec_of("first", document))
    with pages.open(f"/new?from={job.id}") as page:
        page.wait_for_selector("text=Would be accepted")
        spec = safe_load(page.input_value("textarea")) | {"method": {"name": "full"}}
        page.fill("textarea", safe_dump(spec))
        page.wait_for_selector("text=Would be accepted")
        page.get_by_role("button", name="Submit").click()
        page.wait_for_url("**/jobs/job_*")
    fork = next(one for one in backends.store.list() if one.forked_from == job.id)
    assert fork.spec.method.name == "full"


def test_an_upload_goes_on_after_parts_that_broke(
    pages: Pages, backends: Backends, tmp_path: Path
) -> None:
    (tmp_path / "words.jsonl").write_text('{"text": "In the beginning"}\n' * 400_000)
    with pages.open("/new") as page:
        page.wait_for_selector("text=Would be accepted")
        page.route("**/v1/datasets/*", Broken(times=2))
        with page.expect_worker() as worker:
            page.set_input_files(".drop input", tmp_path / "words.jsonl")
        assert "digest-worker" in worker.value.url
        page.wait_for_selector("text=Waiting to upload words.jsonl")
        page.wait_for_selector("text=words.jsonl is uploaded")
    (dataset,) = backends.datasets.list("default", limit=2)
    assert dataset.status is DatasetStatus.READY


class Broken:
    """A network that breaks the first parts of an upload."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self, route: "Route") -> None:
        if route.request.method == "PATCH" and self._left > 0:
            self._left -= 1
            route.abort("connectionfailed")
        else:
            route.continue_()


def test_a_file_of_an_unknown_format_is_refused_in_words(pages: Pages, tmp_path: Path) -> None:
    (tmp_path / "picture.exe").write_text("x")
    with pages.open("/new") as page:
        page.wait_for_selector("text=Would be accepted")
        page.set_input_files(".drop input", tmp_path / "picture.exe")
        page.wait_for_selector(".drop [role=alert] >> text=known formats are")
