# syntax=docker/dockerfile:1

# One image for all services: they share their libraries, and a release is one thing to pull.
#   docker build --tag horolog .
# A test keeps RUST_VERSION equal to rust-toolchain.toml. Both stages use one Debian release, so that the libraries match.
ARG RUST_VERSION=1.95.0
ARG DEBIAN_RELEASE=trixie

FROM rust:${RUST_VERSION}-slim-${DEBIAN_RELEASE} AS build
# librdkafka is built from source: a C++ tool chain, and OpenSSL for TLS to the broker.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libssl-dev make perl pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Incremental compilation is for the edit-and-test loop; here it would only make the cache larger.
ENV CARGO_INCREMENTAL=0
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
        --bin horolog-migrate --bin horolog-ingest --bin horolog-aggregate --bin horolog-query \
    && install -D --target-directory=/out \
        target/release/horolog-migrate target/release/horolog-ingest \
        target/release/horolog-aggregate target/release/horolog-query

FROM debian:${DEBIAN_RELEASE}-slim
# curl asks /readyz in the health checks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl libssl3t64 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin horolog \
    # A volume takes its owner from here.
    && install --directory --owner=10001 --mode=700 /var/lib/horolog/keys /var/lib/horolog/exports
COPY --from=build /out/ /usr/local/bin/
# Freed blocks of megabytes go back to the system at once, as under `horolog up`; see load-tests/PERFORMANCE.md.
ENV MALLOC_MMAP_THRESHOLD_=262144 MALLOC_ARENA_MAX=2
USER 10001
