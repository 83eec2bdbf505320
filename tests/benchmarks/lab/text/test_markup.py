from benchmarks.lab.text.markup import html_paragraphs


def test_a_block_is_a_paragraph_and_what_is_inside_a_line_is_not() -> None:
    page = (
        "<body><h1>Title</h1><p>One <b>bold</b>\n word.</p><ul><li>An item<li>Another</ul></body>"
    )
    assert html_paragraphs(page) == ["Title", "One bold\n word.", "An item", "Another"]


def test_code_tables_and_navigation_are_left_out() -> None:
    page = (
        "<head><title>no</title></head><nav><p>no</p></nav><p>Yes.</p>"
        "<pre>no <span>no</span></pre><table><tr><td>no</td></tr></table><script>no</script>"
        "<p>Also &amp; at the end."
    )
    assert html_paragraphs(page) == ["Yes.", "Also & at the end."]


def test_an_element_that_is_left_out_may_be_inside_another() -> None:
    assert html_paragraphs("<table><pre>no</pre> no</table>yes") == ["yes"]
