"""The cache: newer wins, ghosts go, evidence stays while the task lives."""

from dataclasses import replace

from tests.operator.builders import UID, make_job, make_pod, make_task

from agenttask_operator.cache import Cache


def test_older_news_does_not_undo_our_own_write():
    cache, task = Cache(), make_task()
    cache.put_task(replace(task, resource_version="12"))
    assert not cache.put_task(replace(task, resource_version="11"))
    assert cache.tasks[task.key].resource_version == "12"


def test_object_of_the_same_name_but_another_uid_replaces():
    cache, task = Cache(), make_task()
    cache.put_task(task)
    assert cache.put_task(replace(task, uid="other", resource_version="1"))


def test_jobs_and_pods_are_found_by_their_task():
    cache = Cache()
    cache.put_job(make_job())
    cache.put_pod(make_pod())
    assert cache.jobs_of(UID) == (make_job(),)
    assert cache.pods_of(UID) == (make_pod(),)
    assert cache.jobs_of("other") == ()


def test_list_purges_what_vanished_unseen():
    cache = Cache()
    cache.put_job(make_job())
    assert cache.replace_jobs([], "50") == {make_job().task_key}
    assert cache.jobs_of(UID) == ()


def test_list_does_not_purge_what_is_newer_than_itself():
    cache = Cache()
    cache.put_job(make_job())
    assert cache.replace_jobs([], "5") == set()
    assert cache.jobs_of(UID)


def test_list_of_one_namespace_says_nothing_of_another():
    cache = Cache()
    cache.put_job(make_job())
    cache.put_pod(make_pod())
    assert cache.replace_jobs([], "50", "elsewhere") == set()
    assert cache.replace_pods([], "50", "elsewhere") == set()
    assert cache.jobs_of(UID)
    assert cache.pods_of(UID)
    assert cache.replace_jobs([], "50", "team") == {make_job().task_key}


def test_history_that_went_back_is_the_truth_all_the_same():
    """etcd was restored from a backup: lower versions, and younger objects are gone."""
    cache = Cache()
    old = replace(make_job(), resource_version="20")
    cache.replace_jobs([replace(old, resource_version="90")], "100")
    assert cache.replace_jobs([old], "30") == set()
    assert cache.jobs_of(UID) == (old,)
    cache.put_job(replace(old, resource_version="95"))
    assert cache.replace_jobs([], "29") == {old.task_key}


def test_deleted_pod_stays_as_evidence_until_its_task_is_done():
    cache, task = Cache(), make_task()
    cache.put_task(task)
    cache.put_pod(make_pod())
    cache.end_pod(make_pod())
    assert cache.pods_of(UID)[0].gone
    cache.finish_task(task)
    assert cache.pods_of(UID) == ()


def test_deleted_pod_of_nobody_is_forgotten():
    cache = Cache()
    cache.put_pod(make_pod())
    cache.end_pod(make_pod())
    assert cache.pods_of(UID) == ()


def test_late_news_of_a_finished_task_is_known_as_such():
    cache, task = Cache(), make_task()
    cache.put_task(task)
    cache.finish_task(task)
    assert cache.is_late(task.key, "9")
    assert not cache.is_late(task.key, "11")


def test_doubt_lasts_until_the_task_is_known_as_of_then():
    cache, task = Cache(), make_task()
    cache.put_task(replace(task, resource_version="10"))
    cache.doubt(task.key, "12")
    cache.doubt(task.key, "11")
    assert cache.in_doubt(task.key)
    cache.put_task(replace(task, resource_version="12"))
    assert not cache.in_doubt(task.key)
    assert not cache.doubts


def test_job_that_replaced_another_is_not_dropped_with_it():
    cache, job = Cache(), make_job()
    cache.put_job(replace(job, uid="new"))
    cache.drop_job(job.key, "old")
    assert cache.jobs_of(UID)
