package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/acme-exporter/acme_exporter/examples/demo/ca"
	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// defaultControl is where the outage switch is, if that port is free.
const defaultControl = 18556

//go:embed control.html
var controlText string

//go:embed control.css
var controlStyle string

var controlPage = template.Must(template.New("control").Parse(controlText))

// listenControl listens for the outage switch: at address, or if that is empty at
// the default port or, where that is taken, at any.
func listenControl(address string) (net.Listener, error) {
	if address != "" {
		return net.Listen("tcp", address)
	}
	if listener, err := net.Listen("tcp", process.Loopback(defaultControl)); err == nil {
		return listener, nil
	}
	return net.Listen("tcp", process.Loopback(0))
}

// serveControl serves the outage switch and its page, which links to the
// exporter's.
func serveControl(listener net.Listener, outage *ca.Outage, exporter string) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("/outage", outage)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { showControl(w, outage, exporter) })
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := outage.Set(ca.Mode(r.PostFormValue("mode"))); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /control.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		fmt.Fprint(w, controlStyle)
	})
	server := &http.Server{
		Addr:              listener.Addr().String(),
		Handler:           ca.LocalOnly(mux),
		ReadHeaderTimeout: stopTimeout,
	}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	return server
}

// modeView is a mode on the page.
type modeView struct {
	ca.Description
	InForce bool
}

func showControl(w http.ResponseWriter, outage *ca.Outage, exporter string) {
	view := struct {
		Exporter string
		Now      ca.Description
		Modes    []modeView
	}{Exporter: exporter}
	mode := outage.Mode()
	for _, d := range ca.Modes() {
		if d.Mode == mode {
			view.Now = d
		}
		view.Modes = append(view.Modes, modeView{d, d.Mode == mode})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	_ = controlPage.Execute(w, view) // the client has gone: nobody to tell
}

// setOutage is the command "demo outage MODE": it puts mode in force in the demo
// that has its switch at address. Without a mode it lists them.
func setOutage(ctx context.Context, w io.Writer, address, mode string) error {
	method, query := http.MethodGet, ""
	if mode != "" {
		method, query = http.MethodPost, "?"+url.Values{"mode": {mode}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/outage"+query, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("is the demo running? %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	fmt.Fprintf(w, "%s", text)
	if mode == "" {
		fmt.Fprintln(w)
		listModes(w, "")
	}
	return nil
}

// listModes writes the modes, each with prefix before it.
func listModes(w io.Writer, prefix string) {
	for _, d := range ca.Modes() {
		fmt.Fprintf(w, "  %s%-18s %s\n", prefix, d.Mode, d.Title)
	}
}
