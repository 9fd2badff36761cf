"""What is urgent goes first, and stops nothing else."""

URGENT_IN_A_ROW = 3
"""Turns that urgent work takes before one goes to other work, if any waits."""


class Precedence:
    """Decides turn by turn between urgent work and other work: while both wait, every fourth turn is the others'."""

    def __init__(self) -> None:
        self._urgent_in_a_row = 0

    def is_urgent_next(self, urgent: bool, others: bool) -> bool:
        """Take a turn.

        Args:
            urgent: whether urgent work waits.
            others: whether other work waits.
        """
        chosen = urgent and not (others and self._urgent_in_a_row >= URGENT_IN_A_ROW)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if chosen else 0
        return chosen
