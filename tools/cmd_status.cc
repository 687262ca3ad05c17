// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/text.h"
#include "json.h"
#include "session.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap::tool {
namespace {

/// A line of a block, and a member of a JSON object.
struct Entry {
    std::string key;
    std::string label;
    std::string shown;
    std::string value; ///< for programs: bytes
};
using Block = std::vector<Entry>;

void add(Block& block, const char* key, const char* label, const std::string& value)
{
    block.push_back({key, label, value, value});
}

void add_size(Block& block, const char* key, const char* label, Sectors size)
{
    block.push_back({key, label, show_size(size.bytes(), 'r'), std::to_string(size.bytes().count)});
}

void add_usage(Block& block, const char* key, const char* label, const Usage& bytes)
{
    block.push_back({key, label, fmt::format("{} of {}", show_size({bytes.used}, 'r'), show_size({bytes.bound}, 'r')),
        fmt::format("{}/{}", bytes.used, bytes.bound)});
}

void add_store(Block& block, const Machine& machine, const Uuid& uuid)
{
    const StoreState* store = machine.find_store(uuid);
    if (store == nullptr) {
        add(block, "store", "store", uuid.text());
        return;
    }
    add(block, "store", "store", store->info.name.text());
    add(block, "store_device", "store device", store->device);
    add(block, "store_state", "store state", store->status.state);
    if (const auto& details = store->status.details) {
        add_usage(block, "store_used", "store used", {details->used.bytes().count, details->usable.bytes().count});
        add_usage(block, "store_index_bytes", "store index", details->index_bytes);
        add(block, "store_exceptions", "exceptions", std::to_string(details->exceptions));
    }
}

Block block_of(const Machine& machine, const OriginState& origin)
{
    Block block;
    add(block, "device", "device", printable(origin.device().text()));
    add(block, "number", "number", origin.number().text());
    add(block, "via", "via", origin.live ? "hook" : "table");
    // By the hook the device has a table of its own, which others suspend and load.
    const DeviceState* live = origin.live ? machine.find_device(origin.number()) : nullptr;
    const bool suspended = live != nullptr && live->info.suspended;
    const bool loaded = !origin.inactive.empty() || (live != nullptr && live->info.inactive_table);
    add(block, "state", "state", suspended ? INTERPOSE_STATE_SUSPENDED : origin.status.state);
    add(block, "inactive_table", "inactive table", loaded ? "yes" : "");
    add_size(block, "size", "size", length(origin.table));
    add_size(block, "chunk_size", "chunk", origin.line.chunk);
    add(block, "origin_uuid", "origin", origin.line.origin.text());
    add(block, "generation", "generation", origin.status.generation.text());
    add(block, "interface", "interface", std::to_string(origin.status.interface));
    const auto& details = origin.status.details;
    if (!details)
        return block;
    add(block, "points", "points", std::to_string(details->points));
    add(block, "snapshots", "snapshots", std::to_string(details->snapshots));
    add(block, "invalid_snapshots", "invalid", std::to_string(details->invalid_snapshots));
    add(block, "last_id", "last id", std::to_string(details->last_id));
    if (details->store)
        add_store(block, machine, *details->store);
    add_usage(block, "copy_bytes", "copy memory", details->copy_bytes);
    add_usage(block, "map_bytes", "map memory", details->map_bytes);
    add_usage(block, "index_bytes", "index memory", details->index_bytes);
    add(block, "waiting_writes", "waiting writes", std::to_string(details->waiting_writes));
    add(block, "copied_chunks", "chunks copied", std::to_string(details->copied_chunks));
    add(block, "failure", "failure", details->failure.value_or(""));
    return block;
}

Block block_of(const Machine& machine, const EndpointState& endpoint)
{
    const DeviceState* live = endpoint.live ? machine.find_device(endpoint.live->number) : nullptr;
    const bool suspended = endpoint.info.suspended || (endpoint.base && endpoint.base->info.suspended) ||
                           (live != nullptr && live->info.suspended);
    const bool loaded = !endpoint.inactive.empty() || (live != nullptr && live->info.inactive_table);
    Block block;
    add(block, "device", "device", printable(endpoint.device().text()));
    add(block, "number", "number", endpoint.live ? endpoint.live->number.text() : "");
    add(block, "via", "via", "endpoint");
    add(block, "state", "state",
        endpoint.takes_bios && !suspended ? INTERPOSE_STATE_ACTIVE : INTERPOSE_STATE_SUSPENDED);
    add(block, "inactive_table", "inactive table", loaded ? "yes" : "");
    add_size(block, "size", "size", length(endpoint.table));
    add(block, "endpoint", "endpoint", endpoint.name().text());
    add(block, "base", "base", endpoint.base ? endpoint.base->info.name.text() : "");
    std::string table;
    for (const TableLine& line : endpoint.table)
        table += (table.empty() ? "" : "; ") + shown_text(line);
    add(block, "table", "table", printable(table));
    add(block, "table_status", "table status", printable(endpoint.status));
    return block;
}

/// Throws Error if nothing of dmsnap's stands below or in the place of the device.
Block block_of(const Machine& machine, const std::string& spec)
{
    if (const EndpointState* endpoint = machine.find_endpoint(resolve_live(machine, spec).number))
        return block_of(machine, *endpoint);
    return block_of(machine, require_attached(machine, spec, "show its status"));
}

std::string basic(const std::vector<Block>& blocks)
{
    std::string text;
    for (const Block& block : blocks) {
        text += text.empty() ? "" : "\n";
        for (const Entry& entry : block)
            text += fmt::format("  {:<15} {}\n", entry.label, entry.shown.empty() ? "-" : entry.shown);
    }
    return text;
}

std::string json(const std::vector<Block>& blocks)
{
    nlohmann::ordered_json devices = nlohmann::ordered_json::array();
    for (const Block& block : blocks) {
        nlohmann::ordered_json device;
        for (const Entry& entry : block)
            device[entry.key] = entry.value;
        devices.push_back(std::move(device));
    }
    return report_text("device", std::move(devices));
}

int run_status(const Arguments& arguments)
{
    const bool as_json = wants_json(arguments);
    const auto dm = start();
    const Machine machine = survey(*dm);
    warn_of_other_interfaces(machine);
    std::vector<Block> blocks;
    int code = exit_done;
    if (arguments.objects().empty()) {
        for (const OriginState& origin : machine.origins)
            blocks.push_back(block_of(machine, origin));
        for (const EndpointState& endpoint : machine.endpoints)
            blocks.push_back(block_of(machine, endpoint));
    } else {
        code = for_each_object(arguments, [&](const std::string& spec) { blocks.push_back(block_of(machine, spec)); });
    }
    print(as_json ? json(blocks) : basic(blocks));
    return arguments.objects().empty() ? name_unread(machine, code) : code;
}

} // namespace

const Command status_command = {
    .name = "status",
    .synopsis = "[--reportformat basic|json] [OPTIONS] [DEVICE...]",
    .summary = "show the state of attached devices",
    .options = {},
    .group = Group::reports,
    .hidden = false,
    .run = run_status,
};

} // namespace dmsnap::tool
