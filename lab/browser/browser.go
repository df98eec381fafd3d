// SPDX-License-Identifier: Apache-2.0

// Package browser opens pages in Chromium, for tests: it checks what a page logs,
// which addresses it requests, and how it renders in dark mode and on a phone.
package browser

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience is the timeout for a condition in a page.
const patience = 30 * time.Second

// A Browser is a Chromium process of one test. It ends with the test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start starts a browser. It fails the test if there is no Chromium: a skipped test
// would leave the pages unchecked.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: these tests need Chromium (make deps, or apt-get install chromium fonts-dejavu-core)", err)
	}
	// As root, Chromium runs only without a sandbox; it opens only pages of these tests.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("force-color-profile", "srgb"))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, quit := chromedp.NewContext(allocator)
	t.Cleanup(func() { quit(); cancel() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return &Browser{t: t, ctx: ctx}
}

// A Look is a window width and a color scheme.
type Look struct {
	Width int
	Dark  bool
}

// Looks are a desktop and a phone, each in light and dark mode.
var Looks = []Look{{1280, false}, {1280, true}, {400, false}, {400, true}}

func (l Look) String() string {
	if l.Dark {
		return "dark"
	}
	return "light"
}

// A Page is one tab.
type Page struct {
	t    testing.TB
	ctx  context.Context
	look Look

	mu       sync.Mutex
	asked    []string
	messages []string
}

// height is the height of the window; pages are longer.
const height = 900

// Open opens an address in a new tab.
func (b *Browser) Open(url string, look Look) *Page {
	b.t.Helper()
	p := b.tab(look)
	p.do("opening "+url, chromedp.Navigate(url))
	return p
}

// OpenWithoutScripts opens an address in a new tab with JavaScript disabled.
func (b *Browser) OpenWithoutScripts(url string, look Look) *Page {
	b.t.Helper()
	p := b.tab(look)
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatalf("disabling scripts: %v", err)
	}
	p.do("opening "+url, chromedp.Navigate(url))
	return p
}

func (b *Browser) tab(look Look) *Page {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	p := &Page{t: b.t, ctx: ctx}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		b.t.Fatalf("opening a tab: %v", err)
	}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return // the tab is closed
			}
			p.mu.Lock()
			p.messages = append(p.messages, m.String())
			p.mu.Unlock()
		}
	}()
	p.Look(look)
	return p
}

func (p *Page) hear(event any) {
	if e, ok := event.(*network.EventRequestWillBeSent); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, e.Request.URL)
	}
}

func (p *Page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// Look changes the window width and the color scheme.
func (p *Page) Look(look Look) {
	p.t.Helper()
	p.do("looking", chromedp.EmulateViewport(int64(look.Width), height))
	scheme := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.String()}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: scheme}); err != nil {
		p.t.Fatalf("changing to %v: %v", look, err)
	}
	p.look = look
}

// Paper renders the page as for printing.
func (p *Page) Paper() {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		p.t.Fatalf("rendering the page as for printing: %v", err)
	}
	p.becomes(`matchMedia("print").matches`)
}

// becomes waits like Await, also while scripts are disabled.
func (p *Page) becomes(expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !Value[bool](p, expression); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("after %v this is still not true: %s", patience, expression)
		}
	}
}

// Value returns the value of a JavaScript expression in the page; for a promise,
// its result.
func Value[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Await waits until an expression is true.
func (p *Page) Await(expression string) {
	p.t.Helper()
	p.do("waiting for "+expression, chromedp.Steps(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(20*time.Millisecond))(ctx, t)
		return chromedp.Void{}, err
	}))
}

// Click clicks the first element that a CSS selector matches.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Type types into the first element that a CSS selector matches.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	p.do("typing into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Clean fails the test if the page logged anything, or requested an address that
// does not start with own.
func (p *Page) Clean(own string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		p.t.Errorf("%s: the page logged %s", own, m)
	}
	if len(p.asked) == 0 {
		p.t.Errorf("%s: no request was recorded, not even the one for the page", own)
	}
	for _, url := range p.asked {
		if !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:") {
			p.t.Errorf("%s: the page requested %s", own, url)
		}
	}
}

// Shot writes a screenshot of the whole page to the folder that the environment
// variable SCREENSHOTS names, if it is set.
func (p *Page) Shot(name string) {
	p.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	const png = 100
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(png))
	if err != nil {
		p.t.Fatalf("taking a screenshot: %v", err)
	}
	if err := os.WriteFile(folder+"/"+name+".png", picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
