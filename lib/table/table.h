// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/device_number.h"
#include "base/names.h"
#include "base/units.h"
#include "base/uuid.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dmsnap {

/// A device in a table line.  The kernel prints and takes numbers; a plan may name a device that an earlier step
/// creates and that has no number yet: "@NAME" as text, made a number before the line reaches the kernel.
using DeviceRef = std::variant<DeviceNumber, DmName>;

/// A point named for good; "GENERATION:ID" as text.
struct PointId {
    Uuid generation;
    std::uint64_t id = 0;

    static std::optional<PointId> from_text(std::string_view text);
    std::string text() const;
    auto operator<=>(const PointId&) const = default;
};

/// "DEVICE OFFSET"
struct Linear {
    DeviceRef device;
    Sectors offset;
    bool operator==(const Linear&) const = default;
};

/// "NUMBER CHUNK DEVICE OFFSET..."
struct Striped {
    struct Stripe {
        DeviceRef device;
        Sectors offset;
        bool operator==(const Stripe&) const = default;
    };
    Sectors chunk;
    std::vector<Stripe> stripes;
    bool operator==(const Striped&) const = default;
};

/// The live device: "BASE BASE_START ORIGIN_UUID CHUNK [provisional]"
struct Interpose {
    DeviceRef base;
    Sectors base_start;
    Uuid origin;
    Sectors chunk;
    bool provisional = false; ///< attached for the sake of a first point alone
    bool operator==(const Interpose&) const = default;
};

/// A live device that the hook sees, reached past it: "DEVICE FIRST_SECTOR"
struct InterposeBase {
    DeviceRef live;
    Sectors first;
    bool operator==(const InterposeBase&) const = default;
};

/// "DEVICE FIRST_SECTOR"
struct InterposeStore {
    DeviceRef device;
    Sectors first;
    bool operator==(const InterposeStore&) const = default;
};

/// "ORIGIN_UUID GENERATION ID"; without a point it stands for the one the plan itself takes: "ORIGIN_UUID @taken".
struct InterposeImage {
    Uuid origin;
    std::optional<PointId> point;
    bool operator==(const InterposeImage&) const = default;
};

/// Any other target: its words as they came.
struct OtherTarget {
    std::string type;
    std::string arguments;
    bool operator==(const OtherTarget&) const = default;
};

using Target = std::variant<Linear, Striped, Interpose, InterposeBase, InterposeStore, InterposeImage, OtherTarget>;

struct TableLine {
    Sectors start;
    Sectors length;
    Target target;
    bool operator==(const TableLine&) const = default;
};

using Table = std::vector<TableLine>;

/// The target's type as device-mapper knows it: "linear", "interpose", ...
std::string target_type(const Target& target);
/// The words after the type.
std::string target_arguments(const Target& target);
/// A known type whose words do not fit its grammar (a newer kernel's, say) becomes an OtherTarget, unchanged.
Target make_target(std::string_view type, std::string_view arguments);

/// "START LENGTH TYPE ARGUMENTS"; parse_line(to_text(x)) == x.
std::string to_text(const TableLine& line);
std::string to_text(const Table& table);
/// The same for people: a key is left out.
std::string shown_text(const TableLine& line);
/// Throws Error(EINVAL) for a line without a start, a length and a type.
TableLine parse_line(std::string_view line);
/// One line a row.
Table parse_table(std::string_view text);

std::string to_text(const DeviceRef& device);
std::optional<DeviceRef> parse_device_ref(std::string_view text);

/// Where the last line ends.
Sectors length(const Table& table);
/// All devices a table names, in order, each once; of OtherTarget those words that look like MAJOR:MINOR.
std::vector<DeviceRef> devices(const Table& table);
/// Whether the table writes metadata of its own (raid), so that it may be loaded in two devices but run in only one.
bool runs_once(const Table& table);
/// The one interpose line of a live device's table, nullptr for any other table.
const Interpose* interpose_line(const Table& table);

} // namespace dmsnap
