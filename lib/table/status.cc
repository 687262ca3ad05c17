// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "table/status.h"

#include "dm-interpose.h"
#include "table/field_reader.h"

#include <fmt/format.h>

namespace dmsnap {
namespace {

Usage usage(FieldReader& fields)
{
    const auto [used, bound] = fields.pair();
    return {used, bound};
}

std::string to_text(const Usage& usage) { return fmt::format("{}/{}", usage.used, usage.bound); }

std::string or_none(const std::optional<std::string>& text) { return text.value_or(INTERPOSE_NONE); }

} // namespace

InterposeStatus parse_interpose_status(std::string_view line)
{
    FieldReader fields("status of " INTERPOSE_TARGET, line);
    InterposeStatus status;
    status.interface = fields.small_number();
    status.generation = fields.uuid();
    status.state = fields.text();
    if (status.interface != INTERPOSE_INTERFACE)
        return status;
    auto& details = status.details.emplace();
    details.last_id = fields.number();
    details.points = fields.number();
    details.snapshots = fields.number();
    details.invalid_snapshots = fields.number();
    details.store = fields.optional_uuid();
    details.chunk = fields.sectors();
    details.copy_bytes = usage(fields);
    details.map_bytes = usage(fields);
    details.index_bytes = usage(fields);
    details.waiting_writes = fields.number();
    details.copied_chunks = fields.number();
    details.failure = fields.optional_text();
    if (!fields.empty())
        details.hooked = fields.optional_device();
    return status;
}

StoreStatus parse_store_status(std::string_view line)
{
    FieldReader fields("status of " INTERPOSE_TARGET_STORE, line);
    StoreStatus status;
    status.interface = fields.small_number();
    status.store = fields.uuid();
    status.state = fields.text();
    if (status.interface != INTERPOSE_INTERFACE)
        return status;
    auto& details = status.details.emplace();
    const auto [used, usable] = fields.pair();
    details.used = {used};
    details.usable = {usable};
    details.origins = fields.number();
    details.exceptions = fields.number();
    details.index_bytes = usage(fields);
    return status;
}

BaseStatus parse_base_status(std::string_view line)
{
    FieldReader fields("status of " INTERPOSE_TARGET_BASE, line);
    BaseStatus status;
    status.interface = fields.small_number();
    if (status.interface == INTERPOSE_INTERFACE)
        status.endpoint = fields.optional_device();
    return status;
}

ImageStatus parse_image_status(std::string_view line)
{
    FieldReader fields("status of " INTERPOSE_TARGET_IMAGE, line);
    ImageStatus status;
    status.interface = fields.small_number();
    status.generation = fields.uuid();
    status.validity = fields.text();
    if (status.interface != INTERPOSE_INTERFACE)
        return status;
    auto& details = status.details.emplace();
    details.id = fields.number();
    details.failure = fields.optional_text();
    return status;
}

std::string other_interface(std::uint32_t interface)
{
    return fmt::format("has interface {}, and this dmsnap {}", interface, INTERPOSE_INTERFACE);
}

const char* which_to_upgrade(std::uint32_t interface)
{
    return interface < INTERPOSE_INTERFACE ? "upgrade the module" : "upgrade dmsnap";
}

std::string to_text(const InterposeStatus& status)
{
    std::string text = fmt::format("{} {} {}", status.interface, status.generation.text(), status.state);
    if (const auto& d = status.details)
        text += fmt::format(" {} {} {} {} {} {} {} {} {} {} {} {} {}", d->last_id, d->points, d->snapshots,
            d->invalid_snapshots, d->store ? d->store->text() : INTERPOSE_NONE, d->chunk.count, to_text(d->copy_bytes),
            to_text(d->map_bytes), to_text(d->index_bytes), d->waiting_writes, d->copied_chunks, or_none(d->failure),
            d->hooked ? d->hooked->text() : INTERPOSE_NONE);
    return text;
}

std::string to_text(const StoreStatus& status)
{
    std::string text = fmt::format("{} {} {}", status.interface, status.store.text(), status.state);
    if (const auto& d = status.details)
        text += fmt::format(
            " {}/{} {} {} {}", d->used.count, d->usable.count, d->origins, d->exceptions, to_text(d->index_bytes));
    return text;
}

std::string to_text(const BaseStatus& status)
{
    return fmt::format("{} {}", status.interface, status.endpoint ? status.endpoint->text() : INTERPOSE_NONE);
}

std::string to_text(const ImageStatus& status)
{
    std::string text = fmt::format("{} {} {}", status.interface, status.generation.text(), status.validity);
    if (const auto& d = status.details)
        text += fmt::format(" {} {}", d->id, or_none(d->failure));
    return text;
}

} // namespace dmsnap
