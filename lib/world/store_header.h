// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// The first block of a store, struct interpose_store_header of dm-interpose.h.
#pragma once

#include "base/device_number.h"
#include "base/units.h"
#include "base/uuid.h"
#include "dm-interpose.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace dmsnap {

struct StoreHeader {
    Uuid uuid;
    std::uint64_t created = 0; ///< seconds since 1970
    Sectors length{};          ///< with the header; at most the device's
    Sectors granule{};         ///< unit of allocation

    friend bool operator==(const StoreHeader&, const StoreHeader&) = default;
};

using StoreHeaderBlock = std::array<std::byte, INTERPOSE_STORE_HEADER_BYTES>;

/// What the first block of a device says about a store.
struct StoreHeaderReading {
    std::optional<StoreHeader> header; ///< if it is there and valid
    std::string complaint; ///< if it is there and not valid: "store header with a wrong checksum"; else empty
};

StoreHeaderBlock to_block(const StoreHeader& header);
StoreHeaderReading parse_store_header(const StoreHeaderBlock& block);

/// Reads the header of a device or file; one too short for a header has none. Throws Error if it cannot be read.
StoreHeaderReading read_store_header(const std::filesystem::path& node);

/// Makes a store of the device: claims it (O_EXCL, so that it fails with EBUSY if anyone has it), erases every
/// signature if there may be any, writes the header and makes it durable. Throws Error; what was there may be gone then.
void format_store(
    const std::filesystem::path& node, DeviceNumber number, const StoreHeader& header, bool erases_signatures = true);

} // namespace dmsnap
