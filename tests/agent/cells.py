"""For each of the 52 operations the tests of its success, its failure and hostile arguments.

A test that stands here and passes without having made the call, with that outcome, fails:
`tests/agent/conftest.py` and `tests/databases/conftest.py` see to it. So does one that is
missing here: `tests/contract/test_operation_cells.py`.
"""

from collections import defaultdict
from collections.abc import Generator

import pytest
from tests.agent.witness import NOT_OK, OK, Seen, unmet

FILES, TRANSFERS = "agent/test_files.py::test_", "agent/test_file_transfers.py::test_"
GIT, BRANCHES, REMOTES = (
    f"agent/test_git{name}.py::test_" for name in ("", "_branches", "_remotes")
)
CHECKS, MAKE, CHAINS = (f"agent/test_checks{n}.py::test_" for n in ("", "_make", "_toolchains"))
DOCKER, BUILD = "agent/test_docker.py::test_", "agent/test_docker_build.py::test_"
HTTP, DB, NEO4J = (
    f"{name}.py::test_"
    for name in ("agent/test_http", "databases/test_operations", "databases/test_neo4j")
)
WALKED = "agent/test_workspace.py::test_no_operation_follows_a_path_outside"

WORKS_AND_FAILS: dict[str, tuple[str, str]] = {
    "files.read_file": (
        f"{FILES}read_file_shows_the_whole_file_or_a_part",
        f"{FILES}read_file_says_what_it_cannot_show",
    ),
    "files.write_file": (
        f"{FILES}write_file_keeps_how_a_file_is_stored",
        f"{FILES}write_file_has_a_size_limit",
    ),
    "files.append_file": (
        f"{FILES}append_file_starts_on_a_line_of_its_own",
        f"{FILES}append_file_does_not_write_into_binaries",
    ),
    "files.edit_file": (
        f"{FILES}edit_file_keeps_how_a_file_is_stored",
        f"{FILES}edit_file_replaces_as_often_as_expected",
    ),
    "files.list_files": (
        f"{FILES}list_files_is_sorted_level_by_level_and_hides_git",
        f"{FILES}a_failure_names_what_was_wrong[list_files-arguments3-no such file]",
    ),
    "files.file_info": (f"{FILES}file_info_tells_what_is_there",) * 2,
    "files.mkdir": (f"{FILES}mkdir",) * 2,
    "files.delete_file": (f"{FILES}delete_file_deletes_folders_only_when_told",) * 2,
    "files.search_in_files": (
        f"{FILES}search_finds_lines_with_their_places",
        f"{FILES}search_explains_a_bad_pattern",
    ),
    "files.diff_files": (
        f"{TRANSFERS}two_files_are_compared",
        f"{TRANSFERS}binary_and_huge_files_are_not_compared",
    ),
    "files.copy_file": (
        f"{TRANSFERS}a_copy_has_content_and_mode",
        f"{TRANSFERS}a_copy_has_its_bounds",
    ),
    "files.move_file": (f"{TRANSFERS}files_and_folders_move",) * 2,
    "files.apply_patch": (
        f"{TRANSFERS}a_patch_creates_changes_and_deletes",
        f"{TRANSFERS}a_patch_that_is_not_wholly_good_changes_nothing",
    ),
    "git.status": (
        f"{GIT}a_git_folder_that_points_elsewhere_is_not_followed",
        f"{GIT}a_failure_says_what_git_said[git.status-arguments4-index file]",
    ),
    "git.add": (
        f"{GIT}no_operation_runs_a_planted_command",
        f"{GIT}a_path_is_never_an_option_or_a_pattern",
    ),
    "git.commit": (
        f"{GIT}a_message_is_never_an_option",
        f"{GIT}commit_without_changes_is_a_failure",
    ),
    "git.diff": (
        f"{GIT}add_commit_log_show",
        f"{GIT}a_failure_says_what_git_said[git.diff-arguments3-index file]",
    ),
    "git.log": (
        f"{GIT}add_commit_log_show",
        f"{GIT}a_failure_says_what_git_said[git.log-arguments0-does not have any commits]",
    ),
    "git.show": (f"{GIT}add_commit_log_show", f"{GIT}a_ref_is_never_an_option"),
    "git.checkout": (
        f"{BRANCHES}checkout_creates_and_switches",
        f"{BRANCHES}checkout_fails_as_git_fails",
    ),
    "git.branch": (
        f"{BRANCHES}branches_are_listed_and_merged_ones_deleted",
        f"{BRANCHES}a_branch_with_work_on_it_is_not_deleted",
    ),
    "git.restore": (
        f"{BRANCHES}restore_takes_back_what_it_is_told",
        f"{BRANCHES}restore_takes_paths_literally",
    ),
    "git.blame": (f"{BRANCHES}blame_shows_the_commit_of_each_line",) * 2,
    "git.clone": (
        f"{REMOTES}a_clone_is_a_new_folder_that_stays_out_of_commits",
        f"{REMOTES}a_clone_that_fails_leaves_nothing",
    ),
    "git.push": (
        f"{REMOTES}push_shows_in_the_remote_and_as_tracking",
        f"{REMOTES}a_push_that_would_lose_commits_is_refused",
    ),
    "git.fetch": (f"{REMOTES}fetch_of_all_of_one_and_of_a_tag",) * 2,
    "git.pull": (f"{REMOTES}pull_merges_or_leaves_everything_as_it_was",) * 2,
    "tests.pytest": (
        f"{CHECKS}passing_tests_and_a_part_of_them",
        f"{CHECKS}counts_come_from_the_report",
    ),
    "tests.go_test": (
        f"{CHAINS}go_counts_its_events",
        f"{CHAINS}go_code_that_does_not_compile_is_not_counted",
    ),
    "tests.npm_test": (f"{CHAINS}npm_counts_what_nodes_runner_reports",) * 2,
    "tests.cargo_test": (f"{CHAINS}cargo_counts_libtests_log",) * 2,
    "tests.make_test": (f"{MAKE}make_counts_a_report_and_nothing_else",) * 2,
    "docker.build": (
        f"{BUILD}build_makes_an_image_that_run_finds_by_its_tag",
        f"{BUILD}build_fails_with_its_output",
    ),
    "docker.run": (
        f"{DOCKER}a_name_is_used_once",
        f"{DOCKER}run_answers_with_output_and_exit_code",
    ),
    "docker.exec": (
        f"{DOCKER}a_detached_container_can_be_followed_and_ended",
        f"{DOCKER}exec_reports_failures",
    ),
    "docker.ps": (
        f"{DOCKER}a_detached_container_can_be_followed_and_ended",
        f"{DOCKER}an_engine_that_fails_is_a_failed_result[ps]",
    ),
    "docker.logs": (
        f"{DOCKER}a_detached_container_can_be_followed_and_ended",
        f"{DOCKER}hostile_names[logs]",
    ),
    "docker.stop": (
        f"{DOCKER}a_detached_container_can_be_followed_and_ended",
        f"{DOCKER}hostile_names[stop]",
    ),
    "docker.rm": (f"{DOCKER}rm_needs_force_for_what_runs",) * 2,
    "docker.images": (
        f"{DOCKER}images_and_inspect_show_own_images_only",
        f"{DOCKER}an_engine_that_fails_is_a_failed_result[images]",
    ),
    "docker.inspect": (f"{DOCKER}images_and_inspect_show_own_images_only",) * 2,
    **{
        f"http.{method}": (
            f"{HTTP}each_method_is_sent[{method}]",
            f"{HTTP}a_failing_answer_is_a_failed_result_with_its_text[{method}]",
        )
        for method in ("get", "head", "post", "put", "patch", "delete")
    },
    "http.request": (
        f"{HTTP}request_sends_any_method",
        f"{HTTP}a_failing_answer_is_a_failed_result_with_its_text[request]",
    ),
    "db.postgresql_query": (f"{DB}query_answers_one_row_a_line", f"{DB}failure_is_a_result"),
    "db.postgresql_schema": (
        f"{DB}schema_and_redis_answer",
        f"{DB}redis_and_schema_fail_as_results",
    ),
    "db.redis_command": (f"{DB}schema_and_redis_answer", f"{DB}redis_and_schema_fail_as_results"),
    "db.neo4j_query": (f"{NEO4J}the_operation_answers_one_record_a_line_and_says_what_failed",) * 2,
}
HOSTILE = {
    "files": "agent/test_hostile.py::test_files[{}]",
    "git": "agent/test_hostile.py::test_git[{}]",
    "tests": "agent/test_hostile_programs.py::test_runners[{}]",
    "docker": "agent/test_hostile_programs.py::test_the_engine[{}]",
    "http": "agent/test_hostile_requests.py::test_requests[{}]",
    "db": "databases/test_hostile.py::test_statements[in process-{}]",
}


def hostile(operation: str) -> str:
    """Return the test that feeds an operation hostile arguments, by its whole id."""
    return HOSTILE[operation.partition(".")[0]].format(operation)


def wanted() -> dict[str, set[Seen]]:
    """Return for each test, by its id, the calls that it stands for."""
    found: dict[str, set[Seen]] = defaultdict(set)
    for operation, (works, fails) in WORKS_AND_FAILS.items():
        for test, outcome in ((works, OK), (fails, NOT_OK), (hostile(operation), NOT_OK)):
            found[f"tests/{test}"].add((operation, outcome))
    return dict(found)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test that passes without the calls it stands for in `tests/agent/cells.py`."""
    result = yield
    missing = unmet(pyfuncitem.nodeid, wanted())
    assert not missing, f"{pyfuncitem.nodeid} stands for {missing}"
    return result
