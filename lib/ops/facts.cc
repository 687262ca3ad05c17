// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/facts.h"

#include <algorithm>

namespace dmsnap {
namespace {

template <typename Range, typename Test> auto find_or_null(const Range& range, Test test)
{
    const auto found = std::find_if(range.begin(), range.end(), test);
    return found != range.end() ? &*found : nullptr;
}

} // namespace

std::optional<Run> OriginState::new_space() const
{
    const Sectors watched = length(table);
    if (!live || live->size <= watched)
        return std::nullopt;
    return Run{watched, live->size - watched};
}

const Point* OriginState::find(const PointName& name_of_point) const
{
    return find_or_null(points, [&](const Point& p) { return p.name == name_of_point; });
}

const ImageState* OriginState::image_of(const Point& point) const
{
    return find_or_null(images, [&](const ImageState& image) { return image.line.point == id_of(point); });
}

const OriginState* Machine::find(DeviceNumber number) const
{
    return find_or_null(origins, [&](const OriginState& origin) { return origin.number() == number; });
}

const EndpointState* Machine::find_endpoint(DeviceNumber number) const
{
    const auto found = std::find_if(endpoints.begin(), endpoints.end(),
        [&](const EndpointState& endpoint) { return endpoint.live && endpoint.live->number == number; });
    return found != endpoints.end() ? &*found : nullptr;
}

std::set<DeviceNumber> Machine::through_endpoints(std::set<DeviceNumber> below) const
{
    for (std::size_t before = 0; before != below.size();) {
        before = below.size();
        for (const EndpointState& endpoint : endpoints)
            if (endpoint.live && below.contains(endpoint.live->number))
                for (const DeviceRef& device : dmsnap::devices(endpoint.table))
                    if (const auto* number = std::get_if<DeviceNumber>(&device))
                        below.insert(*number);
    }
    return below;
}

const OriginState* Machine::find_origin(const Uuid& origin) const
{
    return find_or_null(origins, [&](const OriginState& o) { return o.line.origin == origin; });
}

const Error* Machine::why_unread(const DmName& name) const
{
    return find_or_null(unread, [&](const Error& error) { return error.subject() == name.text(); });
}

const DeviceState* Machine::find_device(std::string_view uuid) const
{
    return find_or_null(devices, [&](const DeviceState& device) { return device.info.uuid == uuid; });
}

const DeviceState* Machine::find_device(DeviceNumber number) const
{
    return find_or_null(devices, [&](const DeviceState& device) { return device.info.number == number; });
}

const StoreState* Machine::find_store(const Uuid& store) const
{
    return find_or_null(stores, [&](const StoreState& s) { return s.status.store == store; });
}

const StoreState* Machine::find_store_on(DeviceNumber device) const
{
    return find_or_null(stores, [&](const StoreState& s) { return s.line.device == DeviceRef(device); });
}

bool Machine::has_name(const DmName& name) const { return std::find(names.begin(), names.end(), name) != names.end(); }

bool Machine::is_gone(const Uuid& origin) const
{
    return std::any_of(gone.begin(), gone.end(), [&](const OriginState& other) { return other.line.origin == origin; });
}

bool Machine::is_gone(const OriginState& origin) const
{
    return std::any_of(gone.begin(), gone.end(), [&](const OriginState& other) { return &other == &origin; });
}

Machine Machine::without(const OriginState& origin) const
{
    Machine rest = *this;
    std::erase_if(rest.origins, [&](const OriginState& o) { return o.line.origin == origin.line.origin; });
    const auto goes = [&](const DmName& name) {
        return name == origin.name() || (origin.base && name == origin.base->info.name);
    };
    std::erase_if(rest.names, goes);
    std::erase_if(rest.devices, [&](const DeviceState& device) { return goes(device.name()); });
    return rest;
}

std::size_t Machine::users_of(const Uuid& store) const
{
    return static_cast<std::size_t>(std::count_if(
        origins.begin(), origins.end(), [&](const OriginState& origin) { return origin.store() == store; }));
}

} // namespace dmsnap
