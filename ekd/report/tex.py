"""Plain text as LaTeX, in ASCII, so that it means itself under any encoding and engine."""

from __future__ import annotations

import re
import unicodedata

from ekd.report.wording import one_line

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # else they would belong to the \\ before them
}  # fmt: skip
SYMBOLS = {
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MINUS SIGN}": "$-$",
    "\N{MIDDLE DOT}": r"$\cdot$",
    "\N{NOT EQUAL TO}": r"$\neq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{ALMOST EQUAL TO}": r"$\approx$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{DEGREE SIGN}": r"$^{\circ}$",
    "\N{SUPERSCRIPT TWO}": "$^{2}$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{DAGGER}": r"\dag{}",
    "\N{SECTION SIGN}": r"\S{}",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{EN DASH}": r"\textendash{}",
    "\N{EM DASH}": r"\textemdash{}",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{LEFT SINGLE QUOTATION MARK}": r"\textquoteleft{}",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\textquoteright{}",
    "\N{LEFT DOUBLE QUOTATION MARK}": r"\textquotedblleft{}",
    "\N{RIGHT DOUBLE QUOTATION MARK}": r"\textquotedblright{}",
    "\N{LATIN SMALL LETTER SHARP S}": r"\ss{}",
    "\N{LATIN SMALL LETTER AE}": r"\ae{}",
    "\N{LATIN CAPITAL LETTER AE}": r"\AE{}",
    "\N{LATIN SMALL LETTER O WITH STROKE}": r"\o{}",
    "\N{LATIN CAPITAL LETTER O WITH STROKE}": r"\O{}",
    "\N{LATIN SMALL LETTER L WITH STROKE}": r"\l{}",
}
GREEK = {
    letter: rf"$\{unicodedata.name(letter).split()[-1].lower()}$"
    for letter in map(chr, (0x3B1, 0x3B2, 0x3B3, 0x3B4, 0x3B5, 0x3B7, 0x3B8, 0x3C0, 0x3C1, 0x3C3,
                            0x3C4, 0x3C6, 0x3C7, 0x3C9))
} | {"\N{GREEK SMALL LETTER LAMDA}": r"$\lambda$"}  # fmt: skip
ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING CARON}": "v ",
    "\N{COMBINING CEDILLA}": "c ",
    "\N{COMBINING RING ABOVE}": "r ",
}


def escaped(text: str) -> str:
    """Write text so that LaTeX sets it as it is; letters that it has no command for as [U+4E2D]."""
    text = re.sub(r'(^|(?<=[\s(\[]))"', "\N{LEFT DOUBLE QUOTATION MARK}", one_line(text))
    text = text.replace('"', "\N{RIGHT DOUBLE QUOTATION MARK}")
    text = "".join(map(_character, unicodedata.normalize("NFC", text)))
    return re.sub(r"-(?=-)", "-{}", text)  # two hyphens, not a dash


def _character(character: str) -> str:
    for table in (SPECIAL, SYMBOLS, GREEK):
        if character in table:
            return table[character]
    if character.isascii():
        return character
    apart = unicodedata.normalize("NFD", character)
    base, mark = apart[0], apart[1:]
    if base.isascii() and mark in ACCENTS:
        return rf"\{ACCENTS[mark]}{{{base}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"
