// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "table/messages.h"

#include "table/field_reader.h"

#include <fmt/format.h>

namespace dmsnap {
namespace {

std::string or_none(std::string text) { return text.empty() ? INTERPOSE_NONE : std::move(text); }

std::string list_of(const std::vector<DeviceNumber>& devices)
{
    std::string text;
    for (const DeviceNumber& device : devices)
        text += (text.empty() ? "" : ",") + device.text();
    return or_none(text);
}

std::string text_of(const HookMessage& m)
{
    return fmt::format(INTERPOSE_MSG_HOOK " {} {}", m.deadline.count(), list_of(m.freeze));
}

std::string text_of(const UnhookMessage& m) { return fmt::format(INTERPOSE_MSG_UNHOOK " {}", m.deadline.count()); }

std::string text_of(const RedirectMessage& m)
{
    return fmt::format(INTERPOSE_MSG_REDIRECT " {} {} {}", to_text(m.endpoint), m.deadline.count(), list_of(m.freeze));
}

std::string text_of(const DirectMessage& m) { return fmt::format(INTERPOSE_MSG_DIRECT " {}", m.deadline.count()); }

std::string text_of(const StoreMessage& m)
{
    std::string text = fmt::format(INTERPOSE_MSG_STORE " {}", m.store.text());
    for (const Run& run : m.inside)
        text += fmt::format("{}{}+{}", &run == &m.inside.front() ? ' ' : ',', run.start.count, run.length.count);
    return text;
}

std::string text_of(const UnstoreMessage&) { return INTERPOSE_MSG_UNSTORE; }

std::string text_of(const TakeMessage& m)
{
    const SetMember& first = m.members.front();
    const bool alone = m.members.size() == 1;
    std::string text = fmt::format(INTERPOSE_MSG_TAKE " {} {} {} {} {} {}{}", first.point.text(), to_text(m.kind),
        m.name.text(), or_none(to_hex(m.data)), m.deadline.count(), list_of(first.freeze),
        alone && m.tags.empty() ? "" : " " + or_none(m.tags.text()));
    for (auto member = m.members.begin() + 1; member != m.members.end(); ++member)
        text += fmt::format(" {}/{}/{}", member->origin.text(), member->point.text(), list_of(member->freeze));
    return text;
}

/// With a blank before each.
std::string list_of(const std::vector<SelectedPoint>& points)
{
    std::string text;
    for (const SelectedPoint& selected : points)
        text += fmt::format(" {}/{}/{}", selected.origin.text(), selected.point.generation.text(), selected.point.id);
    return text;
}

std::string text_of(const DropMessage& m)
{
    return fmt::format(INTERPOSE_MSG_DROP " {} {}{}", m.point.generation.text(), m.point.id, list_of(m.others));
}

std::string text_of(const ReleaseMessage& m)
{
    return fmt::format(INTERPOSE_MSG_RELEASE " {} {}{}", m.point.generation.text(), m.point.id, list_of(m.others));
}

std::string text_of(const ChangeMessage& m)
{
    return fmt::format(INTERPOSE_MSG_CHANGE " {} {} {} {} {}{}", m.point.generation.text(), m.point.id,
        m.name ? m.name->text() : INTERPOSE_KEEP, m.tags ? or_none(m.tags->text()) : INTERPOSE_KEEP,
        m.data ? or_none(to_hex(*m.data)) : INTERPOSE_KEEP, list_of(m.others));
}

std::string text_of(const PointsMessage& m) { return fmt::format(INTERPOSE_MSG_POINTS " {}", m.first_id); }

std::string text_of(const ChangedMessage& m)
{
    return fmt::format(INTERPOSE_MSG_CHANGED " {} {} {} {}", m.generation.text(), m.since,
        m.until ? std::to_string(*m.until) : INTERPOSE_NOW, m.first.count);
}

PointKind kind(FieldReader& fields)
{
    return fields.is(INTERPOSE_KIND_SNAPSHOT, INTERPOSE_KIND_CHECKPOINT) ? PointKind::snapshot : PointKind::checkpoint;
}

Consistency consistency(FieldReader& fields)
{
    return fields.is(INTERPOSE_CONSISTENCY_FS, INTERPOSE_CONSISTENCY_CRASH) ? Consistency::fs : Consistency::crash;
}

Blob data(FieldReader& fields)
{
    const auto text = fields.optional_text();
    const auto bytes = from_hex(text.value_or(""));
    if (!bytes)
        throw fields.bad("its data is no hex");
    return *bytes;
}

PointName name(FieldReader& fields)
{
    try {
        return PointName(std::string(fields.text()));
    } catch (const Error& error) {
        throw fields.bad(error.what());
    }
}

Tags tags(FieldReader& fields)
{
    try {
        return fields.empty() ? Tags() : Tags::from_text(fields.optional_text().value_or(""));
    } catch (const Error& error) {
        throw fields.bad(error.what());
    }
}

Point parse_point(std::string_view line)
{
    FieldReader fields("point", line);
    const auto id = fields.number();
    const auto point_kind = kind(fields);
    const bool valid = fields.is(INTERPOSE_VALIDITY_VALID, INTERPOSE_VALIDITY_INVALID);
    const auto time = fields.number();
    const auto uuid = fields.uuid();
    const auto point_consistency = consistency(fields);
    const auto images = fields.number();
    auto point_name = name(fields);
    auto point_data = data(fields);
    auto point_tags = tags(fields);
    const auto length = fields.empty() ? std::nullopt : std::optional(fields.sectors());
    const auto set = fields.empty() ? std::nullopt : fields.optional_uuid();
    return Point{id, point_kind, valid, time, uuid, point_consistency, images, std::move(point_name),
        std::move(point_data), std::move(point_tags), length, set};
}

std::string_view first_line(const std::vector<std::string_view>& all) { return all.empty() ? "" : all.front(); }

} // namespace

std::string_view to_text(PointKind kind)
{
    return kind == PointKind::snapshot ? INTERPOSE_KIND_SNAPSHOT : INTERPOSE_KIND_CHECKPOINT;
}

std::string_view to_text(Consistency consistency)
{
    return consistency == Consistency::fs ? INTERPOSE_CONSISTENCY_FS : INTERPOSE_CONSISTENCY_CRASH;
}

std::string to_text(const Message& message)
{
    return std::visit([](const auto& m) { return text_of(m); }, message);
}

std::vector<TakeAnswer> parse_take_answer(std::string_view answer)
{
    const auto all = lines(answer);
    if (all.empty())
        throw FieldReader("answer to " INTERPOSE_MSG_TAKE, answer).bad("it is empty");
    std::vector<TakeAnswer> taken;
    for (std::string_view line : all) {
        FieldReader fields("answer to " INTERPOSE_MSG_TAKE, line);
        const auto generation = fields.uuid();
        const auto id = fields.number();
        taken.push_back({{generation, id}, consistency(fields)});
    }
    return taken;
}

PointsPage parse_points_page(std::string_view answer)
{
    const auto all = lines(answer);
    FieldReader fields("answer to " INTERPOSE_MSG_POINTS, first_line(all));
    PointsPage page;
    page.generation = fields.uuid();
    page.next_id = fields.optional_number();
    for (std::size_t i = 1; i < all.size(); ++i)
        page.points.push_back(parse_point(all[i]));
    return page;
}

ChangedPage parse_changed_page(std::string_view answer)
{
    const auto all = lines(answer);
    FieldReader fields("answer to " INTERPOSE_MSG_CHANGED, first_line(all));
    ChangedPage page;
    page.generation = fields.uuid();
    if (const auto next = fields.optional_number())
        page.next = Sectors{*next};
    for (std::size_t i = 1; i < all.size(); ++i) {
        FieldReader run("changed run", all[i]);
        const auto start = run.sectors();
        page.runs.push_back({start, run.sectors()});
    }
    return page;
}

std::string to_text(const std::vector<TakeAnswer>& answer)
{
    std::string text;
    for (const TakeAnswer& line : answer)
        text += fmt::format("{}{} {} {}", text.empty() ? "" : "\n", line.point.generation.text(), line.point.id,
            to_text(line.consistency));
    return text;
}

std::string to_text(const PointsPage& page)
{
    std::string text =
        fmt::format("{} {}\n", page.generation.text(), page.next_id ? std::to_string(*page.next_id) : INTERPOSE_NONE);
    for (const Point& p : page.points)
        text += fmt::format("{} {} {} {} {} {} {} {} {} {}{}{}\n", p.id, to_text(p.kind),
            p.valid ? INTERPOSE_VALIDITY_VALID : INTERPOSE_VALIDITY_INVALID, p.time, p.uuid.text(),
            to_text(p.consistency), p.images, p.name.text(), or_none(to_hex(p.data)), or_none(p.tags.text()),
            p.length ? fmt::format(" {}", p.length->count) : "",
            p.length ? fmt::format(" {}", p.set ? p.set->text() : INTERPOSE_NONE) : "");
    return text;
}

std::string to_text(const ChangedPage& page)
{
    std::string text =
        fmt::format("{} {}\n", page.generation.text(), page.next ? std::to_string(page.next->count) : INTERPOSE_NONE);
    for (const Run& run : page.runs)
        text += fmt::format("{} {}\n", run.start.count, run.length.count);
    return text;
}

} // namespace dmsnap
