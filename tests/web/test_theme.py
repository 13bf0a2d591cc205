"""Theme of the page."""

from wuerst_demo.web.theme import create_theme


def test_the_theme_loads_no_web_fonts():
    theme = create_theme()
    assert theme._stylesheets == []
    assert "url(http" not in theme._get_theme_css()
    assert "@font-face" not in theme._get_theme_css()
