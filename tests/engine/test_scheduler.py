"""Scheduler: which items share a step and whose turn it is, on small examples and on random arrivals."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from wuerst_demo.engine.scheduler import (
    MAX_CATCH_UP_STEPS,
    STEPS_PER_CATCH_UP,
    SchedulerState,
    count_turns,
    next_batch,
    queue_order,
    schedule,
)


@dataclass(frozen=True)
class Work:
    """An image that needs `left` more steps; at `left == 1` it is in the VQGAN, which takes one at a time.

    Until it is `encoded`, its prompt is to be.
    """

    session: str
    rank: tuple[int, ...]
    shape: int = 0
    left: int = 10
    most: int = 8
    live: bool = False
    address: str = ""
    encoded: bool = True

    @property
    def key(self):
        return (self.shape if self.stage in ("prior", "decoder") else self.rank, self.stage)

    @property
    def max_batch_size(self):
        return self.most if self.stage in ("prior", "decoder") else 1

    @property
    def stage(self):
        if not self.encoded:
            return "text"
        return "vqgan" if self.left == 1 else "prior" if self.left > 3 else "decoder"

    @property
    def size(self):
        return self.shape

    @property
    def steps_left(self):
        return {"text": 1, "prior": self.left - 3, "decoder": self.left - 1, "vqgan": 1}[self.stage]


def names(items):
    return [item.session for item in items]


def test_the_leader_decides_which_items_go_with_it():
    items = [Work("ann", (image,), left=left) for image, left in enumerate((3, 10, 3, 1))]
    assert [item.rank for item in next_batch(items, [])[0]] == [(0,), (2,)]


def test_a_batch_is_no_larger_than_there_is_room_for():
    items = [Work("ann", (image,), most=2) for image in range(3)]
    assert [item.rank for item in next_batch(items, [])[0]] == [(0,), (1,)]


def test_without_jobs_nobody_has_astep():
    assert next_batch([], ["ann", "ben"]) == ([], [])


def test_sessions_lead_in_turns_and_new_ones_come_last_by_age():
    items = [Work("cid", (3,), 3), Work("ann", (1,), 1), Work("ben", (2,), 2)]
    order, led = ["ben"], []
    for _ in range(6):
        batch, order = next_batch(items, order)
        led += names(batch)
    assert led == ["ben", "ann", "cid"] * 2
    assert queue_order(items, ["gone", "cid"]) == ["cid", "ann", "ben"]


def test_a_batch_takes_one_item_of_each_session_before_a_second_one():
    items = [Work("ann", (0, k), most=4) for k in range(8)] + [Work("ben", (1,), most=4), Work("cid", (2,), most=4)]
    batch, order = next_batch(items, ["ben"])
    assert [item.rank for item in batch] == [(1,), (0, 0), (2,), (0, 1)]
    assert order == ["ann", "cid", "ben"]  # joining a batch does not use up a turn


def test_addresses_lead_in_turns_and_their_sessions_within_these():
    many = [Work(f"tab {k}", (k,), k, address="192.0.2.1") for k in range(3)]
    items = [*many, Work("ben", (9,), 9, address="198.51.100.1"), Work("cid", (10,), 10)]
    order, led = [], []
    for _ in range(9):
        turns = count_turns(items, order)
        assert turns["tab 0"][1] == turns["tab 1"][1] == 9
        assert turns["ben"][1] == turns["cid"][1] == 3
        batch, order = next_batch(items, order)
        assert turns[batch[0].session][0] == 0
        led += names(batch)
    assert led == ["tab 0", "ben", "cid", "tab 1", "ben", "cid", "tab 2", "ben", "cid"]
    assert [count_turns(items, [])[each][0] for each in ("tab 0", "tab 1", "tab 2", "ben", "cid")] == [0, 3, 6, 1, 2]


def test_a_session_that_is_called_like_an_address_has_turns_of_its_own():
    items = [Work("ann", (1,), 1, address="192.0.2.1"), Work("192.0.2.1", (2,), 2)]
    assert count_turns(items, []) == {"ann": (0, 2), "192.0.2.1": (1, 2)}


def test_a_batch_takes_one_item_of_each_address_before_a_second_one():
    items = [Work(f"tab {k}", (k,), most=4, address="192.0.2.1") for k in range(8)]
    items += [Work("ben", (8, k), most=4, address="198.51.100.1") for k in range(8)]
    assert [item.rank for item in next_batch(items, [])[0]] == [(0,), (8, 0), (1,), (8, 1)]


def test_items_of_another_key_never_join_a_batch():
    items = [Work("ann", (0,), 1), Work("ben", (1,), 2), Work("cid", (2,), 1)]
    assert names(next_batch(items, [])[0]) == ["ann", "cid"]


def test_live_items_lead_only_while_there_is_nothing_else():
    items = [Work("ann", (1,), 1, live=True), Work("ben", (2,), 2), Work("cid", (3,), 3, live=True)]
    batch, order = next_batch(items, ["ann", "cid", "ben"])
    assert names(batch) == ["ben"]
    assert order == ["ann", "cid", "ben"]
    assert names(next_batch([item for item in items if item.live], order)[0]) == ["ann"]


def test_live_items_join_the_others_where_there_is_room_and_never_outnumber_them():
    live = [Work(f"typist {k}", (k,), most=4, live=True) for k in range(3)]
    others = [Work("ann", (9, k), most=4) for k in range(4)]
    assert names(next_batch([*live, *others[:1]], [])[0]) == ["ann", "typist 0"]
    assert names(next_batch([*live, *others[:3]], [])[0]) == ["ann", "ann", "ann", "typist 0"]
    assert names(next_batch([*live, *others], [])[0]) == ["ann"] * 4
    assert names(next_batch(live, [])[0]) == ["typist 0", "typist 1", "typist 2"]


def test_live_items_get_no_extra_steps_while_others_wait_for_another_network():
    live, other = Work("ann", (1,), left=90, live=True), Work("ben", (2,), left=3)
    batch, state = schedule([live], SchedulerState(), max_extra_steps=3)
    assert names(batch) == ["ann"]
    assert names(schedule([live, other], state, max_extra_steps=3)[0]) == ["ben"]


def test_eight_images_of_one_session_cost_another_every_second_step_at_most():
    items = [Work("ann", (0, k), shape=k, left=50) for k in range(8)] + [Work("ben", (1,), shape=9, left=10)]
    order, steps = [], 0
    while any(item.session == "ben" for item in items):
        batch, order = next_batch(items, order)
        items = advanced(items, batch)
        steps += 1
    assert steps <= 2 * 10


def advanced(items, batch):
    moved = [after_step(item) if item in batch else item for item in items]
    return [item for item in moved if item.left]


def after_step(item):
    return replace(item, left=item.left - 1) if item.encoded else replace(item, encoded=True)


@dataclass
class Wait:
    """Since an item was last in a batch: steps led by others, steps led by its session, most sessions at once."""

    ahead: int
    others: int = 0
    own: int = 0
    sessions: int = 0


@pytest.mark.slow
def test_no_item_waits_longer_than_the_bound_in_ten_thousand_arrivals():
    rng = random.Random(20231123)
    items, order, waits, arrived = [], [], {}, 0
    while arrived < 10_000 or items:
        while arrived < 10_000 and len(items) < 40 and rng.random() < 0.6:
            session = f"client {rng.randrange(12)}"
            for k in range(rng.choice([1, 1, 1, 2, 8])):
                ahead = sum(item.left for item in items if item.session == session)
                item = Work(session, (arrived, k), rng.randrange(4), rng.randrange(1, 6), 4)
                items.append(item)
                waits[item.rank] = Wait(ahead)
            arrived += 1
        if not items:
            continue
        sessions = len({item.session for item in items})
        leader = queue_order(items, order)[0]
        batch, order = next_batch(items, order)
        assert batch[0].session == leader
        assert batch[0].rank == min(item.rank for item in items if item.session == leader)
        assert len({item.key for item in batch}) == 1
        assert len(batch) <= batch[0].max_batch_size
        for item in items:
            wait = waits[item.rank]
            wait.sessions = max(wait.sessions, sessions)
            wait.others += item.session != leader
            wait.own += item.session == leader
            if item in batch:
                assert wait.own <= wait.ahead + 1
                assert wait.others <= (wait.sessions - 1) * (wait.ahead + 1)
                ahead = sum(each.left for each in items if each.session == item.session and each.rank < item.rank)
                waits[item.rank] = Wait(ahead)
        items = advanced(items, batch)


def test_extra_steps_stay_in_a_network_before_the_next_regular_step():
    items = [Work("ann", (1,), left=90), Work("ben", (2,), left=3), Work("cid", (3,), left=80)]
    state, led = SchedulerState(), []
    for _ in range(9):
        batch, state = schedule(items, state, max_extra_steps=3)
        led.append((batch[0].session, batch[0].stage))
        items = [item if item.session == "ben" else replace(item, left=item.left - (item in batch)) for item in items]
    assert [stage for _, stage in led] == ["prior"] * 4 + ["decoder"] * 4 + ["prior"]
    assert [owner for owner, _ in led[1:4]] == ["ann", "cid", "ann"]  # sessions take turns in extra steps, too
    assert led[4][0] == "ben"
    assert led[8][0] == "cid"  # whose regular turn the extra steps have not used up


def test_without_extra_steps_every_step_is_regular():
    items = [Work("ann", (1,), 1), Work("ben", (2,), 2)]
    state, order = SchedulerState(), []
    for _ in range(5):
        batch, state = schedule(items, state)
        same, order = next_batch(items, order)
        assert batch == same
        assert state.order == order


def stages_of_steps(items, state=None):
    """Stage and number of images of each step until all are done."""
    state, steps = state or SchedulerState(), []
    while items:
        batch, state = schedule(items, state)
        steps.append((batch[0].stage, len(batch)))
        items = advanced(items, batch)
    return [step for step in steps if step[0] != "vqgan"]


def test_an_image_in_the_decoder_waits_for_those_that_are_a_step_or_two_behind():
    ahead, behind = Work("ann", (0,), left=3), [Work(f"client {k}", (k,), left=5) for k in range(1, 8)]
    assert stages_of_steps([ahead, *behind]) == [("prior", 7), ("prior", 7), ("decoder", 8), ("decoder", 8)]


def test_nothing_waits_for_images_further_behind_than_its_own_end_or_of_another_size():
    ahead = Work("ann", (0,), left=3)
    for other in (Work("ben", (1,), left=6), Work("ben", (1,), shape=1, left=4), Work("ben", (1,), left=4, live=True)):
        assert names(schedule([ahead, other], SchedulerState())[0]) == ["ann"]


def test_a_full_batch_waits_for_nobody():
    full, behind = [Work("ann", (0, k), left=3, most=2) for k in range(2)], Work("ben", (1,), left=4, most=2)
    assert names(schedule([*full, behind], SchedulerState())[0]) == ["ann", "ann"]


def test_steps_for_those_behind_are_earned_by_regular_ones():
    state, stages = SchedulerState(), []
    for k in range(40):  # somebody new is a step behind each time
        batch, state = schedule([Work("ann", (0,), left=3), Work("ben", (1 + k,), left=4)], state)
        stages.append((batch[0].session, batch[0].stage))
    assert stages[:MAX_CATCH_UP_STEPS] == [("ben", "prior")] * MAX_CATCH_UP_STEPS
    assert stages.count(("ann", "decoder")) >= (40 - MAX_CATCH_UP_STEPS) * STEPS_PER_CATCH_UP // (
        2 * (STEPS_PER_CATCH_UP + 1)
    )


def test_prompts_of_those_who_come_together_are_encoded_before_their_first_step():
    crowd = [Work(f"client {k}", (k,), encoded=False, left=5) for k in range(8)]
    assert stages_of_steps(crowd) == [("text", 1)] * 8 + [("prior", 8)] * 2 + [("decoder", 8)] * 2


def test_a_prompt_and_a_picture_take_no_turn():
    items = [Work("ann", (0,)), Work("ben", (1,), left=1), Work("cid", (2,), encoded=False)]
    state, led = SchedulerState(["ann", "cid", "ben"]), []
    for _ in range(2):
        batch, state = schedule(items, state)
        led += names(batch)
        items = advanced(items, batch)
    assert led == ["ben", "cid"]
    assert state.order == ["ann", "cid", "ben"]
    assert names(schedule(items, state)[0]) == ["ann", "cid"]


def test_the_oldest_picture_is_decoded_first():
    items = [Work("ann", (4,), left=1), Work("ben", (3,), left=1), Work("cid", (9,), left=1)]
    assert names(schedule(items, SchedulerState())[0]) == ["ben"]


def test_a_prompt_waits_for_its_turn_while_two_full_batches_are_under_way():
    under_way = [Work("ann", (0, k), most=2) for k in range(4)]
    new = Work("ben", (1,), encoded=False)
    assert names(schedule([*under_way, new], SchedulerState(["ann", "ben"]))[0]) == ["ann", "ann"]
    assert names(schedule([*under_way[:3], new], SchedulerState(["ann", "ben"]))[0]) == ["ben"]


def test_prompts_of_one_client_hold_up_nobody_else():
    prompts = [Work(f"tab {k}", (k,), encoded=False, address="192.0.2.1") for k in range(9)]
    other, state, stages = Work("ann", (99,), left=50), SchedulerState(["ann"]), []
    for _ in range(6):
        batch, state = schedule([other, *prompts], state)  # as if each prompt were cancelled, and another one came
        stages.append(batch[0].stage)
    assert stages == ["text", "prior", "text", "text", "prior", "text"]


def test_cancelled_prompts_of_new_clients_hold_up_nobody_for_long():
    image, state, stages = Work("ann", (0,), left=90, most=2), SchedulerState(["ann"]), []
    for k in range(60):
        batch, state = schedule([image, Work(f"client {k}", (1 + k,), encoded=False)], state)
        stages.append(batch[0].stage)
    assert stages.count("prior") >= 60 // (2 * 2 + 2)
    assert len(state.encoded) <= 4


def test_a_live_prompt_and_picture_wait_as_long_as_others_have_work():
    live = [Work("ann", (0,), left=1, live=True), Work("ben", (1,), encoded=False, live=True)]
    assert names(schedule([*live, Work("cid", (2,))], SchedulerState())[0]) == ["cid"]
    assert names(schedule(live, SchedulerState())[0]) == ["ann"]


def test_prompts_and_pictures_wait_for_their_turn_where_changing_the_network_takes_time():
    items = [Work("ann", (0,)), Work("ben", (1,), left=1), Work("cid", (2,), encoded=False)]
    assert names(schedule(items, SchedulerState(["ann", "ben", "cid"]), max_extra_steps=3)[0]) == ["ann"]


@pytest.mark.slow
def test_extra_steps_change_networks_less_and_keep_their_bound():
    run_arrivals(10_000, max_extra_steps=7)
    assert run_arrivals(1_000, max_extra_steps=0) > 2 * run_arrivals(1_000, max_extra_steps=7)


def run_arrivals(arrivals, max_extra_steps):
    """Run all arrivals, check every wait against the bound, and count how often the network changed."""
    rng = random.Random(7)
    items, state, waits, arrived, moves, stage, steps = [], SchedulerState(), {}, 0, 0, "", 0
    at_once = Counter()
    while arrived < arrivals or items:
        while arrived < arrivals and len(items) < 30 and rng.random() < 0.6:
            session = f"client {rng.randrange(12)}"
            for k in range(rng.choice([1, 1, 1, 2, 8])):
                ahead = sum(item.left + 1 for item in items if item.session == session)
                items.append(Work(session, (arrived, k), rng.randrange(4), rng.randrange(1, 9), 4, encoded=False))
                waits[(arrived, k)] = [steps, ahead, 0]
            arrived += 1
        if not items:
            continue
        sessions = len({item.session for item in items})
        order = state.order
        batch, state = schedule(items, state, max_extra_steps)
        if max_extra_steps or batch[0].stage in ("prior", "decoder") or state.order != order:
            steps, at_once = steps + 1, Counter() if batch[0].stage != "text" else at_once
        else:  # pictures of those that a step has finished, and a prompt of each client
            at_once[batch[0].stage] += 1
            at_once[batch[0].session] += batch[0].stage == "text"
            assert batch[0].stage == "vqgan" or at_once[batch[0].session] == 1
        moves, stage = moves + (batch[0].stage != stage), batch[0].stage
        assert len({item.key for item in batch}) == 1
        for item in items:
            wait = waits[item.rank]
            wait[2] = max(wait[2], sessions)
            if item in batch:
                since, ahead, most = wait
                if max_extra_steps:
                    assert steps - since <= most * (ahead + 1) * (max_extra_steps + 1)
                else:
                    assert steps - since <= most * (ahead + 1) * (1 + 1 / STEPS_PER_CATCH_UP) + MAX_CATCH_UP_STEPS
                ahead = sum(each.left for each in items if each.session == item.session and each.rank < item.rank)
                waits[item.rank] = [steps, ahead, 0]
        items = advanced(items, batch)
    return moves
