// Command pictures renders the golden comments of internal/review as GitHub shows them, for docs/github: a page of each in
// headless Chromium. It is run by hand, after a golden has changed: go -C tools/pictures run .
package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
)

//go:embed github.css
var style string

// largest a picture may be, in bytes, so that the repository stays small.
const largest = 100_000

// highest a page may be, in pixels; what is longer is cut.
const highest = 3000

func main() {
	goldens, err := filepath.Glob("../../internal/review/testdata/*.md")
	if err == nil && len(goldens) == 0 {
		err = errors.New("no goldens: run it with go -C tools/pictures run .")
	}
	var failed []error
	for _, golden := range goldens {
		name := strings.TrimSuffix(filepath.Base(golden), ".md")
		if err := picture(golden, filepath.Join("../../docs/github", name+".png")); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := errors.Join(append(failed, err)...); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func picture(golden, to string) error {
	text, err := os.ReadFile(golden)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "picture")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	page, shot := filepath.Join(dir, "page.html"), filepath.Join(dir, "shot.png")
	if err := write(page, text); err != nil {
		return err
	}
	cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir="+filepath.Join(dir, "profile"),
		fmt.Sprintf("--window-size=830,%d", highest), "--screenshot="+shot, "file://"+page)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("chromium (Debian: apt-get install chromium fonts-dejavu-core): %w\n%s", err, out)
	}
	small, err := compress(shot)
	if err != nil {
		return err
	}
	if len(small) > largest {
		return fmt.Errorf("%d bytes, allowed are %d", len(small), largest)
	}
	fmt.Println(to, len(small))
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, small, 0o644))
}

// write renders Markdown with the HTML in it, as GitHub does.
func write(path string, markdown []byte) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!doctype html><meta charset=utf-8><style>%s</style>", style)
	if err := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe())).Convert(markdown, &b); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// compress cuts off the empty end of a page and takes a palette of its most frequent colours.
func compress(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	full, err := png.Decode(file)
	if err != nil {
		return nil, err
	}
	width := full.Bounds().Dx()
	counts, bottom := map[color.RGBA]int{}, 0
	for y := range full.Bounds().Dy() {
		for x := range width {
			c := coarse(full.At(x, y))
			counts[c]++
			if c != (color.RGBA{0xff, 0xff, 0xff, 0xff}) {
				bottom = y
			}
		}
	}
	most := make([]color.RGBA, 0, len(counts))
	for c := range counts {
		most = append(most, c)
	}
	slices.SortFunc(most, func(a, b color.RGBA) int {
		return cmp.Or(counts[b]-counts[a], int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B))
	})
	var palette color.Palette
	for _, c := range most[:min(64, len(most))] {
		palette = append(palette, c)
	}
	small := image.NewPaletted(image.Rect(0, 0, width, min(bottom+17, full.Bounds().Dy())), palette)
	index := map[color.RGBA]uint8{}
	for y := range small.Bounds().Dy() {
		for x := range width {
			c := coarse(full.At(x, y))
			i, ok := index[c]
			if !ok {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			small.SetColorIndex(x, y, i)
		}
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&b, small)
	return b.Bytes(), err
}

// coarse takes 32 shades a channel, white among them.
func coarse(c color.Color) color.RGBA {
	r, g, b, _ := c.RGBA()
	shade := func(v uint32) uint8 { return uint8(min(255, (v>>8+4)/8*8)) }
	return color.RGBA{shade(r), shade(g), shade(b), 0xff}
}
