from jobs.schemas.ids import new_job_id


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_job_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    early, late = ids[0], ids[-1]
    assert early < late
    assert {len(job_id) for job_id in ids} == {30}


def test_an_id_is_safe_in_urls_and_file_names() -> None:
    assert new_job_id().removeprefix("job_").isalnum()
    assert new_job_id().islower()
