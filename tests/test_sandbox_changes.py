from __future__ import annotations

import threading

from ggml_magic.sandbox.changes import JOBS, SHADOW, ChangedShadow, Changes, Notices


def test_a_first_question_is_answered_at_once_with_everything() -> None:
    notices = Notices()
    answer = notices.after("pi", 0, 30)
    assert answer.jobs
    assert answer.shadow
    assert answer.shadows is None
    assert answer.sequence > 0


def test_only_what_came_after_is_told_and_only_to_its_thing() -> None:
    notices = Notices()
    start = notices.after("pi", 0, 0).sequence
    notices.tell("pi", JOBS)
    notices.tell("other", SHADOW)
    assert notices.after("pi", start, 0) == Changes(start + 2, jobs=True, shadow=False)
    assert notices.after("pi", start + 2, 0) == Changes(start + 2, jobs=False, shadow=False)


def test_a_waiting_question_is_answered_when_something_comes() -> None:
    notices = Notices()
    start = notices.after("pi", 0, 0).sequence
    answers: list[Changes] = []
    waiting = threading.Thread(target=lambda: answers.append(notices.after("pi", start, 20)))
    waiting.start()
    notices.tell("pi", SHADOW)
    waiting.join(10)
    assert answers == [Changes(start + 1, jobs=False, shadow=True, shadows=None)]


def test_the_end_frees_all_who_wait() -> None:
    notices = Notices()
    start = notices.after("pi", 0, 0).sequence
    waiting = threading.Thread(target=notices.after, args=("pi", start, 20))
    waiting.start()
    notices.end()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_number_of_another_life_means_look_at_everything() -> None:
    notices = Notices()
    future = notices.after("pi", 0, 0).sequence + 1000
    answer = notices.after("pi", future, 30)
    assert answer.jobs
    assert answer.shadow


def test_which_shadow_has_which_version_now() -> None:
    notices = Notices()
    start = notices.after("pi", 0, 0).sequence
    for version in (1, 2):
        notices.tell_shadow("pi", "", version)
    notices.tell_shadow("pi", "n", 0)
    notices.tell_shadow("other", "", 7)
    both = ChangedShadow("pi", "", 2), ChangedShadow("pi", "n", 0)
    assert notices.after("pi", start, 30) == Changes(
        start + 4, jobs=False, shadow=True, shadows=both
    )
    assert notices.after("pi", start + 2, 30).shadows == both[1:]
    assert notices.after("pi", start + 4, 0).shadows == ()


def test_shadows_of_other_things_are_told_to_who_asks_for_them() -> None:
    notices = Notices()
    start = notices.after("pi", 0, 0).sequence
    notices.tell_shadow("other", "n", 7)
    notices.tell("other", JOBS)
    assert not notices.after("pi", start, 0).shadow
    assert notices.after("pi", start, 30, also=["other", "pi"]) == Changes(
        start + 2, jobs=False, shadow=True, shadows=(ChangedShadow("other", "n", 7),)
    )
