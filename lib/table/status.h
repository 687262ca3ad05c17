// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/device_number.h"
#include "base/units.h"
#include "base/uuid.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dmsnap {

/// "USED/BOUND"
struct Usage {
    std::uint64_t used = 0;
    std::uint64_t bound = 0;
    bool operator==(const Usage&) const = default;
};

/// INFO of the target "interpose"; grammar in dm-interpose.h.  Interfaces other than ours give the first three fields
/// alone.
struct InterposeStatus {
    struct Details {
        std::uint64_t last_id = 0;
        std::uint64_t points = 0;
        std::uint64_t snapshots = 0; ///< valid ones
        std::uint64_t invalid_snapshots = 0;
        std::optional<Uuid> store;
        Sectors chunk;
        Usage copy_bytes;
        Usage map_bytes;
        Usage index_bytes;
        std::uint64_t waiting_writes = 0;
        std::uint64_t copied_chunks = 0;
        std::optional<std::string> failure; ///< INTERPOSE_FAILURE_*
        std::optional<DeviceNumber> hooked; ///< whose bios the hook lets it see
        bool operator==(const Details&) const = default;
    };
    std::uint32_t interface = 0;
    Uuid generation;
    std::string state; ///< INTERPOSE_STATE_*
    std::optional<Details> details;
    bool operator==(const InterposeStatus&) const = default;
};

/// INFO of the target "interpose-store".
struct StoreStatus {
    struct Details {
        Sectors used;
        Sectors usable;
        std::uint64_t origins = 0;
        std::uint64_t exceptions = 0;
        Usage index_bytes;
        bool operator==(const Details&) const = default;
    };
    std::uint32_t interface = 0;
    Uuid store;
    std::string state; ///< INTERPOSE_STORE_*
    std::optional<Details> details;
    bool operator==(const StoreStatus&) const = default;
};

/// INFO of the target "interpose-base".
struct BaseStatus {
    std::uint32_t interface = 0;
    std::optional<DeviceNumber> endpoint; ///< where the live device's bios go; nothing: to itself, or it is not known
    bool operator==(const BaseStatus&) const = default;
};

/// INFO of the target "interpose-image".
struct ImageStatus {
    struct Details {
        std::uint64_t id = 0;
        std::optional<std::string> failure;
        bool operator==(const Details&) const = default;
    };
    std::uint32_t interface = 0;
    Uuid generation;
    std::string validity; ///< INTERPOSE_VALIDITY_*
    std::optional<Details> details;
    bool operator==(const ImageStatus&) const = default;
};

/// Fields a newer module adds at a line's end are skipped.  Each throws Error(EPROTO) for a line it cannot read.
InterposeStatus parse_interpose_status(std::string_view line);
StoreStatus parse_store_status(std::string_view line);
BaseStatus parse_base_status(std::string_view line);
ImageStatus parse_image_status(std::string_view line);

/// "has interface 2, and this dmsnap 1"
std::string other_interface(std::uint32_t interface);
/// And what to do about that.
const char* which_to_upgrade(std::uint32_t interface);

std::string to_text(const InterposeStatus& status);
std::string to_text(const StoreStatus& status);
std::string to_text(const BaseStatus& status);
std::string to_text(const ImageStatus& status);

} // namespace dmsnap
