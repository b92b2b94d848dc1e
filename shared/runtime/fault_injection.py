"""Named points in the path of a record, at which tests inject faults. Without LIPSTAGE_FAULTS they do nothing."""


def reached(point: str) -> None:
    """The path of the current record has reached ``point``."""
