"""Writes a report's folder."""

import json
from pathlib import Path

from medxgan.evaluation.evaluation import Outcome
from medxgan.evaluation.report.contact_sheet import write_contact_sheet
from medxgan.evaluation.report.figures import write_figures
from medxgan.evaluation.report.markdown import markdown
from medxgan.evaluation.summary import Report, summarise


def write_report(outcome: Outcome, folder: Path, command: str) -> Report:
    """Write report.json, report.md and the pictures.

    Args:
        outcome: of the evaluation.
        folder: that is there.
        command: that made the evaluation, as the report says it.

    Returns:
        What report.json says.
    """
    report = summarise(outcome, command)
    (folder / "report.json").write_text(
        json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    pictures = write_figures(report, folder)
    if outcome.sheet:
        write_contact_sheet(outcome.sheet, folder / "contact-sheet.png")
        pictures.append("contact-sheet.png")
    (folder / "report.md").write_text(markdown(report, pictures), encoding="utf-8")
    return report
