# What a developer does here; CI does the same through .ci/run.
#   make demo ARGS="--for 20s"      make bench ARGS="--bench drain"

ARGS ?=
SEEDS ?= 1000
TOOLS := $(CURDIR)/target/tools
SQLX_CLI := 0.9.0
CARGO_DENY := 0.20.2
POSTHORN = $${CARGO_TARGET_DIR:-target}/debug/posthorn
PUBLISHED = $$(realpath $${CARGO_TARGET_DIR:-target})/published/posthorn
# `cargo sqlx` is the subcommand of whichever cargo-sqlx comes first on the PATH. Not under
# `cargo run`, whose variables would make every build script that looks at them run again.
SQLX_PREPARE = PATH="$(TOOLS)/bin:$$PATH" $(POSTHORN) sandbox -- env -u SQLX_OFFLINE cargo sqlx prepare

.DEFAULT_GOAL := help
.PHONY: help setup demo test simulate chaos planted lint prepare advisories bench tools

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install what is missing: PostgreSQL's server binaries, PgBouncer, a C compiler, Python 3
	@.ci/setup

demo: setup ## the whole flow on this machine, live (ARGS="--for 20s" ends by itself)
	@cargo run --release --quiet -- demo $(ARGS)

test: ## every test (ARGS="name" chooses)
	@.ci/setup --tests
	@cargo test --workspace $(ARGS)

simulate: ## the delivery core in simulated worlds (SEEDS=10000, START=500; SEED=7 shows one)
	@SEED=$(SEED) SEEDS=$(SEEDS) START=$(START) \
		cargo test --profile simulation --test simulation -- --nocapture the_invariants

chaos: setup ## real faults on real processes at full length; writes docs/RELIABILITY.md
	@POSTHORN_FULL=1 cargo test --test chaos -- --nocapture --test-threads 1

planted: setup ## plants known bugs into a copy, one by one: each has to be caught
	@cargo build --quiet
	@tests/planted/run

bench: setup ## the benches, a table, and what has moved (ARGS="--bench drain" chooses; POSTHORN_FULL=1; ACCEPT=1)
	@cargo build --profile published --bin posthorn
	@results=$$(mktemp); POSTHORN_BENCH_RESULTS=$$results POSTHORN_BENCHED=$(PUBLISHED) \
		cargo bench --no-fail-fast $(ARGS); status=$$?; \
		test ! -s $$results || \
		cargo bench --quiet --bench summary -- $$results $(if $(ACCEPT),--accept) || status=$$?; \
		rm -f $$results; exit $$status

lint: setup tools ## format, clippy, the checked SQL, the Rust that is needed, licences and sources
	.ci/rust-version
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo build --quiet
	$(SQLX_PREPARE) --check -- --all-targets
	$(TOOLS)/bin/cargo-deny --log-level error check bans licenses sources

# New SQL does not compile before this has run, so the last binary that did will do.
prepare: setup tools ## write .sqlx/ anew after a change of SQL
	cargo build --quiet || test -x $(POSTHORN)
	$(SQLX_PREPARE) -- --all-targets

advisories: tools ## known vulnerabilities in the dependencies (needs the network)
	$(TOOLS)/bin/cargo-deny check advisories

tools:
	@.ci/tool sqlx-cli $(SQLX_CLI) cargo-sqlx --no-default-features --features postgres,rustls
	@.ci/tool cargo-deny $(CARGO_DENY) cargo-deny
