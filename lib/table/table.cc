// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "table/table.h"

#include "base/error.h"
#include "base/text.h"
#include "base/visit.h"
#include "dm-interpose.h"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>

namespace dmsnap {
namespace {

using Words = std::vector<std::string_view>;

// The mark of names and points that only a plan knows; neither a number nor a path starts with it.
constexpr char placeholder = '@';
constexpr std::string_view taken_point = "@taken";

std::optional<Sectors> parse_sectors(std::string_view word)
{
    const auto count = parse_u64(word);
    return count ? std::optional(Sectors{*count}) : std::nullopt;
}

// Grammar: each gives nothing where the words do not fit.

/// <stripes> <chunk> [<device> <offset>]...
std::optional<Target> parse_striped(const Words& w)
{
    if (w.size() < 4)
        return std::nullopt;
    const auto count = parse_u32(w[0]);
    const auto chunk = parse_sectors(w[1]);
    if (!count || !chunk || w.size() != 2 + 2 * std::size_t{*count})
        return std::nullopt;
    Striped striped{*chunk, {}};
    for (std::size_t i = 2; i < w.size(); i += 2) {
        const auto device = parse_device_ref(w[i]);
        const auto offset = parse_sectors(w[i + 1]);
        if (!device || !offset)
            return std::nullopt;
        striped.stripes.push_back({*device, *offset});
    }
    return striped;
}

/// <base device> <base sector> <origin uuid> <chunk sectors> [provisional]
std::optional<Target> parse_interpose(const Words& w)
{
    const bool provisional = w.size() == 5 && w[4] == INTERPOSE_OPT_PROVISIONAL;
    if (w.size() != 4 && !provisional)
        return std::nullopt;
    const auto base = parse_device_ref(w[0]);
    const auto start = parse_sectors(w[1]);
    const auto origin = Uuid::from_text(w[2]);
    const auto chunk = parse_sectors(w[3]);
    if (!base || !start || !origin || !chunk)
        return std::nullopt;
    return Interpose{*base, *start, *origin, *chunk, provisional};
}

/// <device> <first sector>, of several targets
template <typename Line> std::optional<Target> parse_area(const Words& w)
{
    if (w.size() != 2)
        return std::nullopt;
    const auto device = parse_device_ref(w[0]);
    const auto first = parse_sectors(w[1]);
    if (!device || !first)
        return std::nullopt;
    return Line{*device, *first};
}

/// <origin uuid> <generation> <id>, or <origin uuid> @taken
std::optional<Target> parse_image(const Words& w)
{
    if (w.size() < 2)
        return std::nullopt;
    const auto origin = Uuid::from_text(w[0]);
    if (!origin)
        return std::nullopt;
    if (w.size() == 2 && w[1] == taken_point)
        return InterposeImage{*origin, std::nullopt};
    const auto generation = Uuid::from_text(w[1]);
    const auto id = w.size() == 3 ? parse_u64(w[2]) : std::nullopt;
    if (!generation || !id)
        return std::nullopt;
    return InterposeImage{*origin, PointId{*generation, *id}};
}

struct Grammar {
    std::string_view type;
    std::optional<Target> (*parse)(const Words&);
};

constexpr Grammar grammars[] = {
    {"linear", parse_area<Linear>},
    {"striped", parse_striped},
    {INTERPOSE_TARGET, parse_interpose},
    {INTERPOSE_TARGET_BASE, parse_area<InterposeBase>},
    {INTERPOSE_TARGET_STORE, parse_area<InterposeStore>},
    {INTERPOSE_TARGET_IMAGE, parse_image},
};

} // namespace

std::optional<PointId> PointId::from_text(std::string_view text)
{
    const auto colon = text.find(':');
    if (colon == std::string_view::npos)
        return std::nullopt;
    const auto generation = Uuid::from_text(text.substr(0, colon));
    const auto id = parse_u64(text.substr(colon + 1));
    if (!generation || !id)
        return std::nullopt;
    return PointId{*generation, *id};
}

std::string PointId::text() const { return fmt::format("{}:{}", generation.text(), id); }

std::string to_text(const DeviceRef& device)
{
    return std::visit(Visit{[](const DeviceNumber& number) { return number.text(); },
                          [](const DmName& name) { return placeholder + name.text(); }},
        device);
}

std::optional<DeviceRef> parse_device_ref(std::string_view text)
{
    if (!text.empty() && text.front() == placeholder) {
        const auto name = text.substr(1);
        if (name.empty() || name.size() > 127 || name.find('/') != std::string_view::npos)
            return std::nullopt;
        return DmName(std::string(name));
    }
    if (const auto number = DeviceNumber::from_text(text))
        return *number;
    return std::nullopt;
}

std::string target_type(const Target& target)
{
    return std::visit(Visit{[](const Linear&) { return std::string("linear"); },
                          [](const Striped&) { return std::string("striped"); },
                          [](const Interpose&) { return std::string(INTERPOSE_TARGET); },
                          [](const InterposeBase&) { return std::string(INTERPOSE_TARGET_BASE); },
                          [](const InterposeStore&) { return std::string(INTERPOSE_TARGET_STORE); },
                          [](const InterposeImage&) { return std::string(INTERPOSE_TARGET_IMAGE); },
                          [](const OtherTarget& other) { return other.type; }},
        target);
}

std::string target_arguments(const Target& target)
{
    return std::visit(
        Visit{[](const Linear& t) { return fmt::format("{} {}", to_text(t.device), t.offset.count); },
            [](const Striped& t) {
                std::string text = fmt::format("{} {}", t.stripes.size(), t.chunk.count);
                for (const auto& stripe : t.stripes)
                    text += fmt::format(" {} {}", to_text(stripe.device), stripe.offset.count);
                return text;
            },
            [](const Interpose& t) {
                return fmt::format("{} {} {} {}{}", to_text(t.base), t.base_start.count, t.origin.text(), t.chunk.count,
                    t.provisional ? " " INTERPOSE_OPT_PROVISIONAL : "");
            },
            [](const InterposeBase& t) { return fmt::format("{} {}", to_text(t.live), t.first.count); },
            [](const InterposeStore& t) { return fmt::format("{} {}", to_text(t.device), t.first.count); },
            [](const InterposeImage& t) {
                return t.point ? fmt::format("{} {} {}", t.origin.text(), t.point->generation.text(), t.point->id)
                               : fmt::format("{} {}", t.origin.text(), taken_point);
            },
            [](const OtherTarget& t) { return t.arguments; }},
        target);
}

Target make_target(std::string_view type, std::string_view arguments)
{
    for (const Grammar& grammar : grammars)
        if (grammar.type == type)
            if (auto target = grammar.parse(words(arguments)))
                return *target;
    return OtherTarget{std::string(type), std::string(arguments)};
}

std::string to_text(const TableLine& line)
{
    std::string text = fmt::format("{} {} {}", line.start.count, line.length.count, target_type(line.target));
    if (const std::string arguments = target_arguments(line.target); !arguments.empty())
        text += " " + arguments;
    return text;
}

std::string shown_text(const TableLine& line)
{
    const auto* other = std::get_if<OtherTarget>(&line.target);
    // Keys of dm-integrity stand among its options: "internal_hash:hmac(sha256):KEY".
    if (other != nullptr && other->type == "integrity")
        return to_text(TableLine{line.start, line.length, OtherTarget{other->type, "..."}});
    if (other == nullptr || other->type != "crypt")
        return to_text(line);
    // <cipher> <key> ...: a key is nothing for a terminal or a log.
    const Words w = words(other->arguments);
    std::string arguments;
    for (std::size_t i = 0; i < w.size(); ++i)
        arguments += fmt::format("{}{}", i == 0 ? "" : " ", i == 1 ? "KEY" : w[i]);
    return to_text(TableLine{line.start, line.length, OtherTarget{other->type, arguments}});
}

std::string to_text(const Table& table)
{
    std::string text;
    for (const TableLine& line : table)
        text += to_text(line) + "\n";
    return text;
}

TableLine parse_line(std::string_view line)
{
    const Words w = words(line);
    const auto start = w.size() >= 3 ? parse_sectors(w[0]) : std::nullopt;
    const auto length = w.size() >= 3 ? parse_sectors(w[1]) : std::nullopt;
    if (!start || !length)
        throw Error("table line \"" + printable(line) + "\"", "read it", EINVAL, "dmsetup table, which shows it whole");
    // The arguments are kept as they are, blanks inside them too.
    const std::string_view arguments =
        w.size() == 3 ? std::string_view() : line.substr(static_cast<std::size_t>(w[3].data() - line.data()));
    return {*start, *length, make_target(w[2], arguments)};
}

Table parse_table(std::string_view text)
{
    Table table;
    for (std::string_view line : lines(text))
        table.push_back(parse_line(line));
    return table;
}

Sectors length(const Table& table) { return table.empty() ? Sectors{0} : table.back().start + table.back().length; }

std::vector<DeviceRef> devices(const Table& table)
{
    std::vector<DeviceRef> found;
    const auto add = [&](const DeviceRef& device) {
        if (std::find(found.begin(), found.end(), device) == found.end())
            found.push_back(device);
    };
    for (const TableLine& line : table)
        std::visit(Visit{[&](const Linear& t) { add(t.device); },
                       [&](const Striped& t) {
                           for (const auto& stripe : t.stripes)
                               add(stripe.device);
                       },
                       [&](const Interpose& t) { add(t.base); }, [&](const InterposeBase& t) { add(t.live); },
                       [&](const InterposeStore& t) { add(t.device); }, [](const InterposeImage&) {},
                       [&](const OtherTarget& t) {
                           for (std::string_view word : words(t.arguments))
                               if (const auto number = DeviceNumber::from_text(word))
                                   add(*number);
                       }},
            line.target);
    return found;
}

bool runs_once(const Table& table)
{
    return std::any_of(table.begin(), table.end(), [](const TableLine& line) {
        const auto* other = std::get_if<OtherTarget>(&line.target);
        return other != nullptr && other->type == "raid";
    });
}

const Interpose* interpose_line(const Table& table)
{
    return table.size() == 1 ? std::get_if<Interpose>(&table.front().target) : nullptr;
}

} // namespace dmsnap
