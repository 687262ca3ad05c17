// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/find.h"

#include "base/error.h"
#include "base/text.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

namespace dmsnap {
namespace {

Error chain_broken(const OriginState& origin, std::string_view text, std::string reason)
{
    return Error(origin.device().text(), fmt::format("find point \"{}\"", printable(text)), std::move(reason),
        "a full backup, and changes from there on")
        .as(Fault::chain_broken);
}

/// Whether they are one point, or those of one set.
bool one_set(const std::vector<FoundPoint>& found)
{
    const auto& set = found.front().point->set;
    const auto is_in_it = [&](const FoundPoint& other) { return other.point->set == set; };
    return found.size() == 1 || (set && std::all_of(found.begin(), found.end(), is_in_it));
}

const Point* find_in(const OriginState& origin, const PointRef& ref)
{
    const auto found = std::find_if(
        origin.points.begin(), origin.points.end(), [&](const Point& point) { return ref.means(origin, point); });
    return found != origin.points.end() ? &*found : nullptr;
}

} // namespace

PointRef::PointRef(std::string_view text) : text_(text), id_(PointId::from_text(text)), uuid_(Uuid::from_text(text)) {}

bool PointRef::means(const OriginState& origin, const Point& point) const
{
    if (id_)
        return origin.id_of(point) == *id_;
    if (uuid_)
        return point.uuid == *uuid_ || point.set == uuid_;
    return point.name.text() == text_;
}

std::vector<FoundPoint> find_points(const Machine& machine, const OriginState* only, const std::string& text)
{
    const PointRef ref(text);
    if (ref.by_name())
        PointName{text}; // throws for what is none
    std::vector<FoundPoint> found;
    const auto search = [&](const OriginState& origin) {
        if (const Point* point = find_in(origin, ref))
            found.push_back({&origin, point});
    };
    for (const OriginState& origin : machine.origins)
        if (only == nullptr || only == &origin)
            search(origin);
    if (only == nullptr)
        std::for_each(machine.gone.begin(), machine.gone.end(), search);
    if (found.empty() && only == nullptr && !machine.unread.empty())
        throw Error(text, "find it",
            fmt::format("it is nowhere else, and {} cannot be read: {}", machine.unread.front().subject(),
                machine.unread.front().reason()),
            machine.unread.front().next_step());
    if (found.empty())
        throw Error(text, "find it",
            only != nullptr ? only->device().text() + " has no such point" : "there is no such point",
            "dmsnap list shows what there is")
            .as(ref.by_name() ? Fault::failed : Fault::chain_broken);
    const auto is_another = [&](const FoundPoint& other) { return !one_set({found.front(), other}); };
    if (const auto other = std::find_if(found.begin() + 1, found.end(), is_another); other != found.end())
        throw Error(text, "find it",
            fmt::format("{} and {} have a point of that name", found.front().origin->device().text(),
                other->origin->device().text()),
            fmt::format("{}:{}, or a uuid that dmsnap list -o snap_name,origin,snap_uuid,snap_set shows",
                found.front().origin->device().text(), text));
    return found;
}

const Point& resolve_point(const OriginState& origin, std::string_view text)
{
    if (const Point* point = find_in(origin, PointRef(text)))
        return *point;
    const auto id = PointId::from_text(text);
    throw chain_broken(origin, text,
        id && id->generation != origin.status.generation
            ? "the device has been attached anew since: the generation changed"
            : "there is no such point in the present generation");
}

} // namespace dmsnap
