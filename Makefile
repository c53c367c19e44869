# swift-cni. `make` alone lists the targets.

SWIFT       ?= swift
CC          := $(if $(filter default,$(origin CC)),$(shell command -v clang || echo cc),$(CC))
JOBS        ?= $(shell nproc)
SECONDS     ?= 60
DESTDIR     ?=
PREFIX      ?= /usr/local
CNI_BIN_DIR ?= /opt/cni/bin
# 1: `make install` also installs noop and debug, which tests of runtimes use.
TEST_PLUGINS ?=
# For `make test-crash`: --only, --every and other words of Tests/crash/crash.py.
CRASH       ?=
# For `make bench` and `make curves`: --only WORD, or --quick to see that they work. Figures are of whole runs.
BENCH       ?=
UNIT_DIR    ?= $(PREFIX)/lib/systemd/system

# What is installed and measured: static, stripped, one file under many names.
PRODUCT     := .build/install/cni

# How that one is built. Start-up is page faults and look-ups, so: metadata by direct calls and not by name, generic code
# specialized across modules, and functions that a plugin runs placed together (Scripts/link-order.py says how).
# In a static program the C runtime registers the unwinding tables, for which the first unwinding (a thread's
# pthread_exit is one) sorts all of them, 20 ms. Unregistered they are found by the table that the linker has sorted.
LINK_ORDER  := $(CURDIR)/Scripts/link-order.txt
UNREGISTER  := $(foreach name,__register_frame_info __deregister_frame_info, \
  -Xlinker --wrap=$(name) -Xlinker --defsym=__wrap_$(name)=0)
BUILD       := $(SWIFT) build -c release -j $(JOBS) --product cni -Xswiftc -static-executable \
  -Xswiftc -cross-module-optimization -Xswiftc -Xfrontend -Xswiftc -function-sections \
  -Xswiftc -Xfrontend -Xswiftc -disable-concrete-type-metadata-mangled-name-accessors \
  -Xswiftc -use-ld=lld -Xlinker --symbol-ordering-file=$(LINK_ORDER) -Xlinker --no-warn-symbol-ordering $(UNREGISTER)

# The peer of the comparisons: another implementation's plugins (Debian: containernetworking-plugins).
PEER_BIN_DIR ?= /usr/lib/cni

TOOLCHAIN_PACKAGES := libc6-dev libstdc++-12-dev binutils git ca-certificates
NETWORK_PACKAGES   := iproute2 iputils-ping nftables iptables conntrack strace util-linux python3
TRAFFIC_PACKAGES   := iperf3
FIREWALL_PACKAGES  := firewalld dbus
DHCP_PACKAGES      := dnsmasq-base kea-dhcp4-server kea-dhcp6-server
RUNTIME_PACKAGES   := podman buildah containerd runc crun conmon busybox-static \
  python3-grpcio python3-protobuf protobuf-compiler

.DEFAULT_GOAL := help
.PHONY: help build test test-vm test-crash docs lint format demo bench-tools bench curves figures link-order fuzz install uninstall differential clean test-runtimes
.NOTPARALLEL:

help: ## List the targets
	@printf 'swift-cni: everything CNI in one static executable\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{ printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables: DESTDIR= PREFIX=$(PREFIX) CNI_BIN_DIR=$(CNI_BIN_DIR) TEST_PLUGINS=$(TEST_PLUGINS) SECONDS=$(SECONDS) JOBS=$(JOBS)\n'

build: ## Build the static executable (.build/install/cni)
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES)
	@executable="$$($(BUILD) --show-bin-path)/cni"; \
	if [ $(LINK_ORDER) -nt "$$executable" ]; then rm -f "$$executable"; fi
	$(BUILD)
	@Scripts/stage.sh "$$($(BUILD) --show-bin-path)/cni" $(PRODUCT)

test: build ## Run every test; the last line is the sum (VM=no: without a virtual machine)
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES) $(NETWORK_PACKAGES) $(TRAFFIC_PACKAGES) $(DHCP_PACKAGES) $(FIREWALL_PACKAGES) $(RUNTIME_PACKAGES) containernetworking-plugins
	@SWIFT="$(SWIFT)" CC="$(CC)" JOBS="$(JOBS)" PRODUCT="$(PRODUCT)" PEER_BIN_DIR="$(PEER_BIN_DIR)" VM="$(VM)" Scripts/test.sh

test-vm: ## Run the tests that match FILTER in a virtual machine, whose kernel has everything
	@$(if $(FILTER),,echo 'which tests? make test-vm FILTER=BridgeVLANTests (FILTER=. for all)' >&2; exit 1)
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES) $(NETWORK_PACKAGES)
	$(SWIFT) build --build-tests --disable-xctest -j $(JOBS)
	@SWIFT="$(SWIFT)" Scripts/test-vm.sh '$(FILTER)'

test-crash: build ## Kill and fail the whole chain at each of its system calls; what it leaves, as a table
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES) $(NETWORK_PACKAGES) $(FIREWALL_PACKAGES)
	@CC="$(CC)" PRODUCT="$(PRODUCT)" Tests/crash/run.sh $(CRASH)

test-runtimes: build ## podman, buildah and containerd with these plugins; a table (ONLY=podman,buildah,ctr,cri)
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES) $(NETWORK_PACKAGES) $(RUNTIME_PACKAGES)
	@CC="$(CC)" setpriv --pdeathsig TERM Tests/runtimes/runtimes.py $(PRODUCT) $(if $(ONLY),--only $(ONLY))

lint: ## Check formatting of Swift sources, and the scripts
	@Scripts/require.sh shellcheck python3
	$(SWIFT) format lint --strict -r Package.swift Sources Tests Examples
	shellcheck Scripts/*.sh Tests/Shell/*.sh Tests/VirtualMachine/*.sh Tests/crash/*.sh .ci/run
	@for script in $$(git ls-files '*.py'); do \
	  python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$$script" || exit 1; done

format: ## Rewrite Swift sources in the house format
	$(SWIFT) format -i -r Package.swift Sources Tests Examples

demo: build ## Two containers on a bridge network, in a throw-away host
	@Scripts/require.sh $(NETWORK_PACKAGES)
	@Scripts/demo.sh $(PRODUCT)

BENCH_TOOLS := .build/bench
BENCH_SIDES := --ours $(PRODUCT) --go "$(PEER_BIN_DIR)" --tools $(BENCH_TOOLS) $(BENCH)
FIGURES     := Documentation/figures

$(BENCH_TOOLS)/floor: $(wildcard Benchmarks/floor/*)
	@mkdir -p $(BENCH_TOOLS)
	$(CC) -O2 -Wall -Wextra -Werror -static -o $@ $(filter %.c,$^)

$(BENCH_TOOLS)/spawn: Benchmarks/spawn/spawn.c
	@mkdir -p $(BENCH_TOOLS)
	$(CC) -O2 -Wall -Wextra -Werror -static -o $@ $<

bench-tools: build $(BENCH_TOOLS)/floor $(BENCH_TOOLS)/spawn
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES) $(NETWORK_PACKAGES) containernetworking-plugins dnsmasq-base

bench: bench-tools ## Measure against the Go plugins and the kernel alone; tables, and bench.json (10 minutes)
	@python3 Benchmarks/bench.py $(BENCH_SIDES) --output bench.json

curves: bench-tools ## Measure how calls grow with leases, containers, ports; plots in .build/figures (12 minutes)
	@mkdir -p .build/figures
	@python3 Benchmarks/curves.py $(BENCH_SIDES) --output .build/figures/growth.json
	@python3 Benchmarks/plot.py .build/figures/growth.json .build/figures

figures: bench-tools ## Both of these, for the documentation: its plots and tables are written anew
	@$(if $(strip $(BENCH)),echo 'figures are of whole runs: make figures takes no BENCH' >&2; exit 1)
	@rm -rf .build/figures
	@mkdir -p .build/figures $(FIGURES)
	@python3 Benchmarks/bench.py $(BENCH_SIDES) --output .build/figures/bench.json
	@python3 Benchmarks/curves.py $(BENCH_SIDES) --output .build/figures/growth.json
	@python3 Benchmarks/plot.py .build/figures/growth.json .build/figures
	@python3 Benchmarks/figures.py .build/figures README.md Documentation/performance.md
	@mv .build/figures/*.json .build/figures/*.svg $(FIGURES)

docs: ## Reference documentation of the libraries (.build/docs, one archive each)
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES)
	@SWIFT="$(SWIFT)" JOBS="$(JOBS)" Scripts/docs.sh .build/docs

link-order: build ## Find out anew what plugins touch, for the linker to place together
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES) iproute2 util-linux python3 valgrind
	@Scripts/link-order.py "$$($(BUILD) --show-bin-path)/cni" $(LINK_ORDER)

fuzz: ## Fuzz the parsers, SECONDS=60 each
	@Scripts/require.sh $(TOOLCHAIN_PACKAGES)
	@for file in Fuzzing/Fuzz*.swift; do \
	  target=$$(basename "$$file" .swift | sed 's/^Fuzz//' | tr '[:upper:]' '[:lower:]'); \
	  printf '\n== %s, %s seconds\n' "$$target" "$(SECONDS)"; \
	  Fuzzing/run.sh "$$target" "$(SECONDS)" || exit 1; done

install: build ## Hard links into CNI_BIN_DIR, cnitool into PREFIX/bin, units into UNIT_DIR, each by rename
	@TEST_PLUGINS="$(TEST_PLUGINS)" Scripts/install.sh $(PRODUCT) "$(DESTDIR)$(CNI_BIN_DIR)" "$(DESTDIR)$(PREFIX)/bin"
	@Scripts/units.sh install "$(DESTDIR)$(UNIT_DIR)" "$(CNI_BIN_DIR)"

uninstall: ## Remove what `make install` put there, and nothing else
	@Scripts/uninstall.sh "$(DESTDIR)$(CNI_BIN_DIR)" "$(DESTDIR)$(PREFIX)/bin"
	@Scripts/units.sh remove "$(DESTDIR)$(UNIT_DIR)" "$(CNI_BIN_DIR)"

differential: build ## Compare results and kernel state with the Go plugins'
	@Scripts/require.sh $(NETWORK_PACKAGES) containernetworking-plugins
	@python3 Tests/differential/differential.py --ours $(PRODUCT) --go "$(PEER_BIN_DIR)"
	@printf '\nWhat not every kernel has, in the virtual machine:\n'
	@Scripts/test-vm.sh --prepare
	@VM_TIMEOUT=3600 Tests/VirtualMachine/run.sh .build/vm "python3 Tests/differential/differential.py --jobs 1 \
	  --ours $(PRODUCT) --go $(PEER_BIN_DIR) --needs ipvlan,vlan,dummy,vrf --only 'direct: ' --versions 0.4.0,1.0.0"

clean: ## Remove everything built
	rm -rf .build bench.json
