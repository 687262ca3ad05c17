// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/device_number.h"
#include "base/names.h"
#include "base/text.h"
#include "base/units.h"
#include "base/uuid.h"
#include "dm-interpose.h"
#include "table/table.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dmsnap {

enum class PointKind { snapshot, checkpoint };
enum class Consistency { fs, crash };

std::string_view to_text(PointKind kind);
std::string_view to_text(Consistency consistency);

/// Messages to the target "interpose"; what they do and how they fail is in dm-interpose.h.
struct HookMessage {
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
    std::vector<DeviceNumber> freeze; ///< top first
    bool operator==(const HookMessage&) const = default;
};
struct UnhookMessage {
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
    bool operator==(const UnhookMessage&) const = default;
};
/// Messages to the target "interpose-base".
struct RedirectMessage {
    DeviceRef endpoint;
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
    std::vector<DeviceNumber> freeze; ///< top first
    bool operator==(const RedirectMessage&) const = default;
};
struct DirectMessage {
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
    bool operator==(const DirectMessage&) const = default;
};
/// And again to "interpose".
/// A run of sectors; one line of the answer to "changed".
struct Run {
    Sectors start;
    Sectors length;
    bool operator==(const Run&) const = default;
};
struct StoreMessage {
    Uuid store;
    std::vector<Run> inside = {}; ///< where in the origin it lies, in whole chunks; empty: it does not
    bool operator==(const StoreMessage&) const = default;
};
struct UnstoreMessage {
    bool operator==(const UnstoreMessage&) const = default;
};
/// One origin's part in a point.
struct SetMember {
    Uuid origin;
    Uuid point;
    std::vector<DeviceNumber> freeze; ///< top first
    bool operator==(const SetMember&) const = default;
};
struct TakeMessage {
    PointKind kind = PointKind::snapshot;
    PointName name;
    std::vector<SetMember> members; ///< at least one; the first is the origin that the message goes to
    Blob data = {};
    std::chrono::milliseconds deadline{INTERPOSE_DEADLINE_MS_DEFAULT};
    Tags tags = {};
    bool operator==(const TakeMessage&) const = default;
};
/// The point of a further origin, to which the same is done in the same step.
struct SelectedPoint {
    Uuid origin;
    PointId point;
    bool operator==(const SelectedPoint&) const = default;
};
struct DropMessage {
    PointId point;
    std::vector<SelectedPoint> others = {};
    bool operator==(const DropMessage&) const = default;
};
struct ReleaseMessage {
    PointId point;
    std::vector<SelectedPoint> others = {};
    bool operator==(const ReleaseMessage&) const = default;
};
/// What is nothing stays as it is.
struct ChangeMessage {
    PointId point;
    std::optional<PointName> name = {};
    std::optional<Tags> tags = {};
    std::optional<Blob> data = {};
    std::vector<SelectedPoint> others = {};
    bool operator==(const ChangeMessage&) const = default;
};
struct PointsMessage {
    std::uint64_t first_id = 0;
    bool operator==(const PointsMessage&) const = default;
};
struct ChangedMessage {
    Uuid generation;
    std::uint64_t since = 0;
    std::optional<std::uint64_t> until; ///< nothing: now
    Sectors first;
    bool operator==(const ChangedMessage&) const = default;
};

using Message = std::variant<HookMessage, UnhookMessage, RedirectMessage, DirectMessage, StoreMessage, UnstoreMessage,
    TakeMessage, DropMessage, ReleaseMessage, ChangeMessage, PointsMessage, ChangedMessage>;

std::string to_text(const Message& message);

/// One line of the answer to "take".
struct TakeAnswer {
    PointId point;
    Consistency consistency = Consistency::crash;
    bool operator==(const TakeAnswer&) const = default;
};

/// One line of the answer to "points".
struct Point {
    std::uint64_t id = 0;
    PointKind kind = PointKind::snapshot;
    bool valid = true;
    std::uint64_t time = 0; ///< seconds since 1970
    Uuid uuid;
    Consistency consistency = Consistency::crash;
    std::uint64_t images = 0; ///< image tables there are
    PointName name;
    Blob data;
    Tags tags = {};
    std::optional<Sectors> length = {}; ///< of the device then; nothing if that is not known
    std::optional<Uuid> set = {};       ///< those taken with it at one instant
    bool operator==(const Point&) const = default;
};

struct PointsPage {
    Uuid generation;
    std::optional<std::uint64_t> next_id; ///< nothing: this was the last page
    std::vector<Point> points;
    bool operator==(const PointsPage&) const = default;
};

struct ChangedPage {
    Uuid generation;
    std::optional<Sectors> next;
    std::vector<Run> runs;
    bool operator==(const ChangedPage&) const = default;
};

/// Each throws Error(EPROTO) for an answer it cannot read.
std::vector<TakeAnswer> parse_take_answer(std::string_view answer);
PointsPage parse_points_page(std::string_view answer);
ChangedPage parse_changed_page(std::string_view answer);

std::string to_text(const std::vector<TakeAnswer>& answer);
std::string to_text(const PointsPage& page);
std::string to_text(const ChangedPage& page);

} // namespace dmsnap
