# make test is what CI runs. It needs Go, git, gcc (for -race) and, for the
# container image, what the target deps installs.

SHELL := /bin/sh
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory

GO ?= go
# The modules whose Go code is ours, and the packages of generated docs.
MODULES := . examples/demo test
DOCUMENTED := ./internal/metrics ./internal/verdict

# What acme_exporter says of itself. A tree without git is "devel".
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
version := github.com/prometheus/common/version
LDFLAGS := -s -w \
	-X $(version).Version=$(VERSION) \
	-X $(version).Revision=$(shell git rev-parse HEAD 2>/dev/null) \
	-X $(version).Branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null) \
	-X $(version).BuildDate=$(shell git log -1 --format=%cd --date=format:%Y%m%d-%H:%M:%S 2>/dev/null)

# Pinned tools are built once, into a directory named after their pins.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/acme_exporter/tools
pin = $(shell cat tools/$(1)/go.mod tools/$(1)/go.sum | cksum | cut -d' ' -f1)
STEP_CA := $(CACHE)/step-ca-$(call pin,step-ca)/step-ca
GOLANGCI_LINT := $(CACHE)/golangci-lint-$(call pin,golangci-lint)/golangci-lint
AXE_CORE := $(CACHE)/axe-core-$(shell cat tools/axe-core/*.json | cksum | cut -d' ' -f1)/node_modules/axe-core/axe.min.js
DASHBOARDS_SDK := $(CACHE)/dashboards-$(shell cat tools/dashboards/package*.json | cksum | cut -d' ' -f1)/node_modules/.package-lock.json
PROMETHEUS := $(CACHE)/prometheus-$(call pin,prometheus)/prometheus
ALERTMANAGER := $(CACHE)/alertmanager-$(call pin,alertmanager)/alertmanager

.PHONY: build
build: ## bin/acme_exporter, static
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/acme_exporter .

.PHONY: run
run: build ## an ACME CA, and acme_exporter beside it
	@cd examples/demo && $(GO) build -buildvcs=false -o ../../bin/demo .
	@exec bin/demo -exporter bin/acme_exporter

.PHONY: test
test: test-tools ## everything
	@$(MAKE) -j 2 test-live test-others

# Most of test-live is waiting: it runs beside all the others.
.PHONY: test-others
test-others:
	@$(MAKE) test-product
	@$(MAKE) test-demo
	@$(MAKE) test-e2e

.PHONY: test-tools
test-tools: deps $(AXE_CORE) $(DASHBOARDS_SDK) $(STEP_CA) $(PROMETHEUS) $(ALERTMANAGER)

.PHONY: test-product
test-product: ## the product; only Go
	@$(GO) vet ./...
	@$(GO) test -race -parallel 8 ./...

.PHONY: test-demo
test-demo: ## the demo
	@cd examples/demo && $(GO) vet ./... && $(GO) test -count=1 ./...

.PHONY: test-e2e
test-e2e: test-tools ## end to end, with real CAs, a browser and a container image
	@rm -rf bin/artifacts && mkdir -p bin/artifacts
	@cd test && $(GO) vet ./... && $(GO) test -count=1 -parallel 4 -artifacts -outputdir=$(CURDIR)/bin/artifacts $$($(GO) list ./... | grep -v '/live$$')

.PHONY: test-live
test-live: test-tools ## from fault to page: five exporters, Prometheus, Alertmanager; eleven minutes
	@cd test && $(GO) test -count=1 -v -timeout 30m ./live

# How long, as Go writes durations.
SOAK := 1h

.PHONY: soak
soak: test-tools ## the same, and an hour (SOAK=) of what is healthy: no page
	@cd test && $(GO) test -count=1 -v -timeout 0 ./live -args -watch $(SOAK)

# What the tests need from Debian: each package with a file of its own.
PACKAGES := \
	bind9:/usr/sbin/named \
	buildah:/usr/bin/buildah \
	caddy:/usr/bin/caddy \
	chromium:/usr/bin/chromium \
	haproxy:/usr/sbin/haproxy \
	iproute2:/usr/sbin/ip \
	knot:/usr/sbin/knotd \
	libnginx-mod-stream:/usr/lib/nginx/modules/ngx_stream_module.so \
	nginx-light:/usr/sbin/nginx \
	npm:/usr/bin/npm \
	openssl:/usr/bin/openssl \
	prometheus:/usr/bin/promtool \
	prometheus-alertmanager:/usr/bin/amtool \
	systemd:/usr/bin/systemd-analyze \
	unbound:/usr/sbin/unbound

.PHONY: deps
deps: ## what the tests need from Debian
	@missing=; for package in $(PACKAGES); do \
		file=$${package#*:}; \
		[ -e $$file ] || command -v $${file##*/} >/dev/null || missing="$$missing $${package%%:*}"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing$$missing"; \
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive \
			apt-get install -q -y --no-install-recommends $$missing; } >/dev/null; \
	else \
		echo "make deps: missing:$$missing; type: sudo apt-get install --no-install-recommends$$missing" >&2; \
		exit 1; \
	fi

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint on all our modules
	@for module in $(MODULES); do (cd $$module && $(GOLANGCI_LINT) run ./...) || exit 1; done

.PHONY: bench
bench: ## cost and precision of a run, against a reference in the same run; cost of the budget, of checks, of the page, of the rules and of the report
	@$(GO) test -run '^$$' -bench . -benchmem ./internal/budget ./internal/conformance
	@$(GO) test -run '^$$' -bench Index -benchtime 100x ./internal/web
	@cd test && $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 40m ./bench

.PHONY: docs
docs: ## the generated pages of docs/
	@$(GO) test $(DOCUMENTED) -run '^TestDocument$$' -update

# Where make dashboards writes to.
DASHBOARDS ?= dashboards

.PHONY: dashboards
dashboards: $(DASHBOARDS_SDK) ## the Grafana dashboards of dashboards/, from tools/dashboards
	@out=$$(realpath $(DASHBOARDS)) && work=$$(mktemp -d) && trap 'rm -rf $$work' EXIT && \
		cp -r tools/dashboards/. $$work && ln -s $(dir $(DASHBOARDS_SDK)) $$work/node_modules && \
		cd $$work && node node_modules/typescript/bin/tsc && node build/main.js $$out

.PHONY: image
image: image-context ## the container image, with docker, podman or buildah
	@for builder in docker podman buildah; do \
		if command -v $$builder >/dev/null; then exec $$builder build -t acme_exporter:$(VERSION) -t acme_exporter:latest .; fi; \
	done; echo 'make image: none of docker, podman and buildah is installed' >&2; exit 1

.PHONY: image-context
image-context: build
	@mkdir -p bin/image/state
	@for roots in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do \
		if [ -s $$roots ]; then cp $$roots bin/image/ca-certificates.crt && exit 0; fi; \
	done; echo 'make image: this machine has no root certificates to put into the image' >&2; exit 1

.PHONY: tool-step-ca
tool-step-ca: $(STEP_CA)
	@echo $(STEP_CA)

# step-ca builds without cgo only.
$(STEP_CA):
	@echo 'building step-ca, once' >&2
	@cd tools/step-ca && CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -o $@ github.com/smallstep/certificates/cmd/step-ca

.PHONY: tool-prometheus
tool-prometheus: $(PROMETHEUS)
	@echo $(dir $(PROMETHEUS))

# Prometheus, and promtool beside it. Without service discovery it builds in half
# the time; the version is what it says of itself.
$(PROMETHEUS):
	@echo 'building Prometheus, once' >&2
	@cd tools/prometheus && CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -tags remove_all_sd \
		-ldflags '-s -w -X $(version).Version=3.15.0' -o $(dir $@) \
		github.com/prometheus/prometheus/cmd/promtool github.com/prometheus/prometheus/cmd/prometheus

.PHONY: tool-alertmanager
tool-alertmanager: $(ALERTMANAGER)
	@echo $(ALERTMANAGER)

# Newer ones need web pages that are built with npm.
$(ALERTMANAGER):
	@echo 'building Alertmanager, once' >&2
	@cd tools/alertmanager && CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath \
		-ldflags '-s -w -X $(version).Version=0.31.1' -o $@ github.com/prometheus/alertmanager/cmd/alertmanager

.PHONY: tool-axe-core
tool-axe-core: $(AXE_CORE)
	@echo $(AXE_CORE)

$(AXE_CORE):
	@echo 'fetching axe-core, once' >&2
	@directory=$(@:/node_modules/axe-core/axe.min.js=) && mkdir -p $$directory && \
		cp tools/axe-core/*.json $$directory && cd $$directory && \
		npm ci --silent --ignore-scripts --no-audit --no-fund

$(DASHBOARDS_SDK):
	@echo 'fetching the Grafana Foundation SDK, once' >&2
	@directory=$(@:/node_modules/.package-lock.json=) && mkdir -p $$directory && \
		cp tools/dashboards/package*.json $$directory && cd $$directory && \
		npm ci --silent --ignore-scripts --no-audit --no-fund

$(GOLANGCI_LINT):
	@echo 'building golangci-lint, once' >&2
	@cd tools/golangci-lint && CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: clean
clean: ## what was built here; the tools in the cache stay
	@rm -rf bin

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16
