// SPDX-License-Identifier: Apache-2.0

// Package browser looks at pages as people do, in Chromium: what a page logs,
// whom it asks, how it looks in the dark and on a telephone. It is for tests.
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

// patience is for how long a page may take to become what is awaited.
const patience = 30 * time.Second

// A Browser is a Chromium of a test's own. It ends with the test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start fails the test where there is no Chromium: a page that nobody looked at
// is not checked.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: these tests look at pages in it (make deps, or apt-get install chromium fonts-dejavu-core)", err)
	}
	// As root it takes no sandbox; it sees pages of these tests alone.
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

// A Look is how somebody looks at a page.
type Look struct {
	Width int
	Dark  bool
}

// Looks are a desk and a telephone, by day and by night.
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

// height is that of the window; pages are longer.
const height = 900

// Open opens an address in a tab of its own.
func (b *Browser) Open(url string, look Look) *Page {
	b.t.Helper()
	p := b.tab(look)
	p.do("opening "+url, chromedp.Navigate(url))
	return p
}

// OpenWithoutScripts opens it as a reader does who runs no scripts.
func (b *Browser) OpenWithoutScripts(url string, look Look) *Page {
	b.t.Helper()
	p := b.tab(look)
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatalf("switching scripts off: %v", err)
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

// Look changes how the page is looked at.
func (p *Page) Look(look Look) {
	p.t.Helper()
	p.do("looking", chromedp.EmulateViewport(int64(look.Width), height))
	scheme := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.String()}, {Name: "prefers-reduced-motion", Value: "reduce"}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: scheme}); err != nil {
		p.t.Fatalf("looking in the %v: %v", look, err)
	}
	p.look = look
}

// Paper looks at the page as it is printed.
func (p *Page) Paper() {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		p.t.Fatalf("looking at the page on paper: %v", err)
	}
	p.becomes(`matchMedia("print").matches`)
}

// becomes waits like Await, also where scripts are switched off.
func (p *Page) becomes(expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !Value[bool](p, expression); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("after %v it is not so that %s", patience, expression)
		}
	}
}

// Value is that of a JavaScript expression in the page; of a promise, what it
// becomes.
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

// Click clicks what a CSS selector finds first.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do("clicking "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Type types into what a CSS selector finds first.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	p.do("typing into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Clean fails the test if the page logged anything, or asked for anything but
// what begins as its own address does.
func (p *Page) Clean(own string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		p.t.Errorf("%s: the page logged %s", own, m)
	}
	if len(p.asked) == 0 {
		p.t.Errorf("%s: no request of the page was seen, not even for itself", own)
	}
	for _, url := range p.asked {
		if !strings.HasPrefix(url, own) && !strings.HasPrefix(url, "data:") {
			p.t.Errorf("%s: the page asked %s", own, url)
		}
	}
}

// Shot writes a picture of the whole page into the folder that the variable
// SCREENSHOTS names, if it is set.
func (p *Page) Shot(name string) {
	p.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	const png = 100
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(png))
	if err != nil {
		p.t.Fatalf("taking a picture: %v", err)
	}
	if err := os.WriteFile(folder+"/"+name+".png", picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
