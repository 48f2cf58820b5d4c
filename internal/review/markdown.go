package review

import (
	"strings"
	"unicode"
)

// code prints a text as inline code, in which nothing is a link, a mention, a tag or an end of anything. Its fence is
// longer than any row of backticks in the text, and the text stays in its line.
func code(text string) string {
	text = oneLine(text)
	if text == "" {
		return "(nothing)"
	}
	fence := strings.Repeat("`", longestRow(text)+1)
	if text[0] == '`' || text[len(text)-1] == '`' || strings.Trim(text, " ") != text {
		text = " " + text + " "
	}
	return fence + text + fence
}

// block prints a text of several lines as a code block.
func block(language, text string) string {
	fence := strings.Repeat("`", max(3, longestRow(text)+1))
	clean := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !hidden(r) {
			return r
		}
		return '\uFFFD'
	}, text)
	return fence + language + "\n" + strings.TrimRight(clean, "\n") + "\n" + fence
}

// plain prints a text among other text, with everything escaped that Markdown or HTML would see something in.
func plain(text string) string {
	var b strings.Builder
	for _, r := range oneLine(text) {
		switch {
		case r == '@':
			b.WriteString("@\u200b") // mentions nobody
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&':
			b.WriteString("&amp;")
		case strings.ContainsRune("\\`*_{}[]()#!|~", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// cell prints a text of several lines in the cell of an HTML table.
func cell(text string) string {
	if text == "" {
		return "<i>nothing</i>"
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = "<code>" + escapeHTML(oneLine(line)) + "</code>"
	}
	return strings.Join(lines, "<br>")
}

func escapeHTML(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "@", "&#64;\u200b", "`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;", "|", "&#124;", "~", "&#126;", "\\", "&#92;").Replace(text)
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case hidden(r):
			return '\uFFFD'
		}
		return r
	}, text)
}

// hidden are characters that change how others are read without being seen themselves, such as those that turn the
// direction of a text around.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

func longestRow(text string) int {
	longest, row := 0, 0
	for _, r := range text {
		row++
		if r != '`' {
			row = 0
		}
		longest = max(longest, row)
	}
	return longest
}
