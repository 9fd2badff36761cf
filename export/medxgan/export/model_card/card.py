"""The card as a whole: what matters first, then what the verdict promises, then the technical tables."""

from medxgan.export.model_card.figures import Figures
from medxgan.export.model_card.in_short import in_short
from medxgan.export.model_card.markdown import section
from medxgan.export.model_card.shortcuts import shortcuts
from medxgan.export.model_card.technical import classes, familiarity, image, inversion, metrics, provenance
from medxgan.export.model_card.verdict import verdict
from medxgan.v1.bundle_pb2 import Bundle

_ATTRIBUTION_ALONE = (
    "This bundle holds no generator: there is no negative realization, and no verdict on an explanation. What it "
    "offers are attribution maps, which weigh each pixel's part in an answer by the classifier's gradient, or by "
    "covering it. Maps of different methods may disagree, and a map that looks sensible is no proof that it is right."
)


def model_card(bundle: Bundle) -> str:
    """The card in Markdown: every statement and figure is taken from the bundle's description.

    A sentence whose figure was not measured is left out.
    """
    figures = Figures(bundle.metrics)
    explanation: tuple[str, ...] = (section("How it is explained", _ATTRIBUTION_ALONE),)
    if bundle.HasField("latent"):
        explanation = (
            section(
                "When an explanation can be relied on", verdict(bundle.reliability, bundle.classification, figures)
            ),
        )
    turned_away: tuple[str, ...] = ()
    if bundle.HasField("familiarity"):
        turned_away = (section("Which images it turns away", familiarity(bundle.familiarity)),)
    sections = [
        f"# {bundle.name}, version {bundle.version}",
        "**Not a medical device.** For research; not for diagnosis or treatment.",
        in_short(bundle, figures),
        *explanation,
        section("Known shortcuts and limitations", shortcuts(bundle, figures)),
        section("What it looks at", image(bundle.image)),
        *turned_away,
        section("What it decides", classes(bundle.classification)),
        section("Measured on images it was not trained on", metrics(bundle.metrics)),
    ]
    if bundle.HasField("inversion"):
        sections.append(section("How an explanation is found", inversion(bundle.inversion)))
    sections.append(section("Data and licence", provenance(bundle.provenance)))
    return "\n\n".join(sections) + "\n"
