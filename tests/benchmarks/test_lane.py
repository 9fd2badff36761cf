"""The simulated lane takes the blocks that the server's own lane takes."""

import asyncio

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy import Environment
from simulation.lane import Lane
from tests.server.linear import Z1, Z2, LinearEngine

from medxgan.server.inversion.lane import Lane as ServersLane
from medxgan.server.inversion.solver import Row, Solver

LONGEST_BLOCK, QUANTUM = 5, 12

Joining = list[list[tuple[str, int]]]
"""Before each block, who joins: a caller and the steps of a row."""

joinings = st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40)), max_size=3), min_size=1, max_size=8)


def simulated(joining: Joining, maximum_rows: int) -> list[tuple[int, int]]:
    lane = Lane(Environment(), maximum_rows, QUANTUM, LinearEngine().bundle.inversion.check_interval, LONGEST_BLOCK)
    blocks = []
    for block in range(1000):
        for caller, steps in joining[block] if block < len(joining) else ():
            lane.join(caller, steps)
        if lane.is_busy:
            blocks.append(lane.prepare())
            lane.take()
        elif block >= len(joining):
            return blocks
    raise AssertionError("the rows do not end")


async def served(joining: Joining, maximum_rows: int) -> list[tuple[int, int]]:
    engine = LinearEngine()
    solver = Solver(engine.bundle.inversion, LONGEST_BLOCK)
    lane = ServersLane(solver, engine, maximum_rows, QUANTUM)
    state = (np.zeros((1, Z1 + Z2), np.float32), engine.image(*np.ones(Z1 + Z2)), 0.6, np.ones((1, Z1 + Z2)))
    waiting = []
    for block in range(1000):
        for caller, steps in joining[block] if block < len(joining) else ():
            waiting.append(lane.join([solver.init(Row(steps, 4.0), *state)], caller, None))
        lane.settle()
        if lane.is_busy:
            lane.take(lane.prepare()())
            for flow, done in [each for each in waiting if each[1].done()]:
                lane.leave(flow)
                waiting.remove((flow, done))
        elif block >= len(joining):
            return engine.blocks
    raise AssertionError("the rows do not end")


@given(joining=joinings, maximum_rows=st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_it_takes_the_blocks_of_the_servers_lane(joining: Joining, maximum_rows: int) -> None:
    assert simulated(joining, maximum_rows) == asyncio.run(served(joining, maximum_rows))
