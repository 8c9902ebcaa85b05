"""Clocks of simulated servers: what is due at a moment is due when the world has come to it."""

from hypothesis import given
from hypothesis import strategies as st

from lab.sim.clock import ServerClock, VirtualClock

rates = st.sampled_from((0.3, 0.7, 1.0, 1.4, 3.0))


@given(st.lists(st.tuples(st.floats(0, 1e4), rates, st.sampled_from((0.0, 0.0, 700.0))), max_size=6), st.floats(0, 1e4))
def test_a_deadline_has_come_at_the_moment_computed_for_it(changes: list[tuple[float, float, float]], later_ms: float):
    """Seed 920242 waited for ever: at that moment the clock showed a hair less."""
    world = VirtualClock()
    clock = ServerClock(world)
    for after_ms, rate, ahead_ms in changes:
        world.advance_to(world.now_ms() + after_ms)
        clock.run_at(rate)
        clock.jump(ahead_ms)
    deadline = clock.now_ms() + later_ms
    world.advance_to(max(world.now_ms(), clock.world_ms(deadline)))
    assert clock.now_ms() >= deadline


def test_a_clock_that_was_set_right_again_shows_the_worlds_time_to_the_last_bit():
    world = VirtualClock()
    clock = ServerClock(world)
    world.advance_to(2004.5236995700418)
    clock.run_at(1.0)
    world.advance_to(4088.3711304186922)
    assert clock.now_ms() == world.now_ms()
