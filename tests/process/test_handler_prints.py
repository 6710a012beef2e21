"""What a handler prints is seen when it prints it, also where standard output is no terminal."""

from support.waiting import wait_until

BODY = """

    import time

    def handle(email):
        print("printed", email.uid)
        while True:
            time.sleep(0.01)
"""


def test_a_line_is_seen_before_its_handler_ends(house, simulated) -> None:
    simulated.add(1)
    run = house(BODY, supervisor="drain_timeout = 0", worker="procs = 1").start()
    wait_until(lambda: "printed 1" in run.text(), f"its line is seen; {run.log}")
    run.stop()
