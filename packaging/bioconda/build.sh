#!/bin/bash
set -euxo pipefail

cargo-bundle-licenses --format yaml --output THIRDPARTY.yml

cargo install --no-track --locked --verbose --root "${PREFIX}" --path crates/cli
packaging/share "${PREFIX}/bin/longstrand" "${PREFIX}"
