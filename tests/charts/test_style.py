from dataclasses import replace

from tests.report.figures import figures

from byheart.charts import style

WHITE, DARK = "#ffffff", "#14171c"


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2.1."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_line_shows_on_white_and_its_twin_on_dark() -> None:
    for light, dark in style.dark_twins().items():
        if light != style.GRID:
            assert contrast(light, WHITE) >= 3
            assert contrast(dark, DARK) >= 3


def test_every_text_can_be_read_in_both_modes() -> None:
    for light in (style.INK, style.FAINT):
        assert contrast(light, WHITE) >= 4.5
        assert contrast(style.dark_twins()[light], DARK) >= 4.5


def test_the_three_kinds_keep_their_colour_in_every_figure() -> None:
    for figure in figures():
        colours = dict(zip(figure.series, style.series_colours(figure), strict=True))
        assert all(colours[k] == style.KINDS[k] for k in style.KINDS if k in colours)


def test_levels_grow_steadily_lighter() -> None:
    leveled = next(figure for figure in figures() if figure.ordered)
    ramp = [luminance(colour) for colour in style.series_colours(leveled)]
    assert ramp == sorted(ramp)
    assert len(set(ramp)) == len(leveled.series)


def test_dark_twins_keep_the_order_of_the_levels() -> None:
    leveled = next(figure for figure in figures() if figure.ordered)
    twins = style.dark_twins()
    ramp = [luminance(twins[colour]) for colour in style.series_colours(leveled)]
    assert ramp == sorted(ramp)


def test_a_reference_is_grey_among_kinds_and_among_levels() -> None:
    for ordered in (False, True):
        figure = replace(figures()[0], ordered=ordered)
        assert style.series_colours(figure)[-1] == style.REFERENCE


def test_a_reference_named_after_a_series_has_its_colour() -> None:
    names = ("real", "randX", "real, binomial", "chance")
    figure = replace(figures()[0], series=names, dashed=names[2:])
    real, _, named, plain = style.series_colours(figure)
    assert (named, plain) == (real, style.REFERENCE)


def test_many_series_all_get_a_colour_with_a_twin() -> None:
    names = tuple(f"series {index}" for index in range(23))
    for ordered in (False, True):
        figure = replace(figures()[0], series=names, dashed=(), ordered=ordered)
        colours = style.series_colours(figure)
        assert len(colours) == 23
        assert set(colours) <= set(style.dark_twins())
