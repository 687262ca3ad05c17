// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "session.h"

#include "base/signals.h"
#include "base/text.h"
#include "dm-interpose.h"
#include "dm/libdevmapper.h"
#include "log.h"
#include "machine/local_host.h"
#include "ops/naming.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <iostream>
#include <unistd.h>

namespace dmsnap::tool {
namespace {

/// Says which side to upgrade.
Error interface_differs(std::uint32_t interface)
{
    return Error("module dm-interpose", "use it", "it " + other_interface(interface), which_to_upgrade(interface));
}

void require_root()
{
    if (geteuid() != 0)
        throw Error("dmsnap", "start", "device-mapper needs root", "sudo").as(Fault::cannot_start);
}

void log_warning_line(const std::string& line) { log_warning(line); }

/// A line of a plan, without its end.
void log_step(const std::string& line) { log_info(line.substr(0, line.find_last_not_of('\n') + 1)); }

/// Empty for what is no logical volume.
std::string group_of(const BlockDevice& block) { return volume_group_of(block.dm_name, block.dm_uuid).value_or(""); }

/// A look at everything only for what is not there any more.
BlockDevice find_live(Dm& dm, const std::string& spec)
{
    try {
        return resolve(spec);
    } catch (const Error&) {
        return resolve_live(survey(dm), spec);
    }
}

Error not_undone(const Outcome& outcome)
{
    const Error& error = *outcome.error;
    return Error(error.subject(), error.operation(), error.reason(), error.next_step()).as(Fault::not_undone);
}

} // namespace

bool is_dry_run(const Arguments& arguments) { return arguments.has("dry-run") || arguments.has("test"); }

bool same_device(const BlockDevice& a, const BlockDevice& b)
{
    return a.number == b.number && a.kernel_name == b.kernel_name && a.dm_name == b.dm_name && a.dm_uuid == b.dm_uuid;
}

Candidate read_live(Dm& dm, const BlockDevice& block, Via via)
{
    Candidate candidate = read_candidate(dm, block);
    read_use(dm, candidate, may_use_hook(candidate, via));
    return candidate;
}

std::string commands_text(const std::vector<std::string>& commands)
{
    std::string text = "not all of it could be undone or finished; what is left to do:";
    for (const std::string& command : commands)
        text += "\n  " + command;
    return text;
}

Uuid draw_uuid(const Machine& machine)
{
    for (;;) {
        const Uuid uuid = Uuid::random();
        if (!machine.has_name(base_name(uuid)) && !machine.has_name(top_name(uuid)) &&
            !machine.has_name(endpoint_name(uuid)) && !machine.has_name(leg_name(uuid)) &&
            !machine.has_name(meta_name(uuid)) && !machine.has_name(store_name(uuid)))
            return uuid;
    }
}

std::unique_ptr<Dm> start()
{
    require_root();
    return make_libdevmapper();
}

void require_interface(Dm& dm, bool any_interface)
{
    const auto version = dm.target_version(INTERPOSE_TARGET);
    if (!version)
        throw Error("module dm-interpose", "use it", "it is not there",
            "modprobe dm-interpose; if that fails, build and install it for this kernel, signed if it boots securely")
            .as(Fault::cannot_start);
    if (version->major == INTERPOSE_INTERFACE)
        return;
    const Error error = interface_differs(version->major);
    if (!any_interface)
        throw error.as(Fault::cannot_start);
    log_warning(fmt::format("module dm-interpose: {}: {}", error.reason(), error.next_step()));
}

Change::Change(const Arguments& arguments, const Purpose& purpose) : dry_run_(is_dry_run(arguments))
{
    require_root();
    if (!dry_run_)
        lock_.emplace(log_warning_line);
    dm_ = make_libdevmapper(lock_ ? &*lock_ : nullptr);
    require_interface(*dm_, purpose.any_interface);
    if (dry_run_)
        return;
    recovery_ = purpose.recovery;
    if (!recovery_)
        patience_.give_up = std::chrono::seconds(3); // what is left may stay for the next one
    mend();
    volumes_.clear();
    left_to_lvm_ = std::move(busy_);
    busy_.clear();
}

void Change::mend()
{
    const SignalsWait wait;
    const BarOthers bar = {[&](const DmInfo& live) { return is_barred(live); },
        [&](const DmInfo& live) {
            const SignalsWait::Pause pause(wait); // LVM may take its time, and nothing is half done yet
            bar_lvm(live, patience_);
        }};
    const auto look = [this] { return recovery_ ? survey_with_files(*dm_) : survey(*dm_); };
    LocalHost host;
    reconciled_ = reconcile(*dm_, host, look, bar, log_step);
    for (const std::string& remark : reconciled_.remarks)
        log_warning(remark);
    for (const Repair& repair : reconciled_.done)
        log_info(to_text(repair));
    for (const Error& error : reconciled_.failed)
        if (recovery_)
            log_error(error);
        else // in the way of nothing if it cannot be mended
            log_warning(fmt::format("{}: dmsnap recover says more", error.what()));
    if (!reconciled_.left_to_do.empty())
        log_error(commands_text(reconciled_.left_to_do));
    for (const Problem& problem : reconciled_.in_the_way)
        log_info(fmt::format("{}: {}", printable(problem.device), printable(problem.what)));
}

bool Change::is_barred(const DmInfo& live) const
{
    const auto group = volume_group_of(live.name.text(), live.uuid);
    return dry_run_ || !group || volumes_.count(*group) != 0;
}

void Change::bar_lvm(const DmInfo& live, const LvmLock::Terms& terms)
{
    if (is_barred(live))
        return;
    const auto group = volume_group_of(live.name.text(), live.uuid);
    if (busy_.count(*group) != 0)
        throw Error(
            "volume group " + printable(*group), "lock it", "LVM is still at work on it", "again when LVM is done");
    busy_.insert(*group);
    volumes_.emplace(*group, LvmLock(*group, log_warning_line, terms));
    busy_.erase(*group);
}

/// In the order in which LVM too locks several groups: by name.
void Change::bar_lvm(std::vector<BlockDevice> blocks)
{
    std::sort(blocks.begin(), blocks.end(),
        [](const BlockDevice& a, const BlockDevice& b) { return group_of(a) < group_of(b); });
    volumes_.clear();
    for (const BlockDevice& block : blocks)
        if (block.is_dm())
            bar_lvm(DmInfo{.name = DmName(block.dm_name), .uuid = block.dm_uuid, .number = block.number}, {});
}

std::vector<BlockDevice> Change::hold(const std::vector<std::string>& specs)
{
    const auto look = [&] {
        std::vector<BlockDevice> blocks;
        for (const std::string& spec : specs)
            blocks.push_back(find_live(*dm_, spec));
        return blocks;
    };
    const auto was_left_to_lvm = [&](const BlockDevice& block) { return left_to_lvm_.contains(group_of(block)); };
    // LVM may be at work on them while its locks are waited for.
    constexpr int looks = 3;
    for (int i = 0; i < looks; ++i) {
        const auto seen = look();
        bar_lvm(seen);
        auto held = look();
        if (!std::equal(seen.begin(), seen.end(), held.begin(), same_device))
            continue;
        if (std::none_of(held.begin(), held.end(), was_left_to_lvm))
            return held;
        // There is one that LVM was busy with.
        mend();
        left_to_lvm_ = std::move(busy_);
        busy_.clear();
    }
    throw Error(printable(specs.front()), "find the device",
        specs.size() > 1 ? "it, or one of the others, is another one at each look" : "it is another one at each look",
        "again");
}

bool confirm(
    const Arguments& arguments, const std::string& subject, const std::string& operation, const std::string& question)
{
    if (is_dry_run(arguments))
        log_warning(fmt::format("{}: {}: without --dry-run this is asked first", subject, question));
    if (arguments.has("yes") || is_dry_run(arguments))
        return true;
    if (isatty(STDIN_FILENO) == 0)
        throw Error(subject, operation, question, "--yes, if that may be lost");
    std::cerr << subject << ": " << question << ". Overwrite it? [y/n]: " << std::flush;
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

Plan Change::plan(const std::function<Plan(const Machine& machine)>& make)
{
    return outwait([&] { return make(survey(*dm_)); });
}

Outcome Change::carry_out(const Plan& plan)
{
    if (dry_run_) {
        print(to_text(plan));
        return {};
    }
    const SignalsWait wait;
    LocalHost host;
    Outcome outcome = execute(plan, *dm_, host, log_step);
    for (const std::string& remark : outcome.remarks)
        log_warning(remark);
    if (!outcome.error)
        return outcome;
    if (outcome.undone())
        throw *outcome.error;
    log_error(commands_text(outcome.left_to_do));
    throw not_undone(outcome);
}

int exit_code_of(const Error& error)
{
    log_error(error);
    switch (error.fault()) {
    case Fault::usage: return exit_usage;
    case Fault::cannot_start: return exit_cannot_start;
    case Fault::not_undone: return exit_not_undone;
    case Fault::chain_broken: return exit_chain_broken;
    case Fault::in_use:
    case Fault::failed: break;
    }
    return exit_failed;
}

int name_unread(const Machine& machine, int code)
{
    for (const Error& error : machine.unread)
        code = std::max(code, exit_code_of(error));
    return code;
}

int for_each_object(const Arguments& arguments, const std::function<void(const std::string& object)>& act)
{
    int worst = exit_done;
    for (const std::string& object : arguments.objects()) {
        try {
            act(object);
        } catch (const Error& error) {
            worst = std::max(worst, exit_code_of(error));
        }
    }
    return worst;
}

void warn_of_other_interfaces(const Machine& machine)
{
    for (const OriginState& origin : machine.origins)
        if (!origin.status.details)
            log_warning(fmt::format("{}: its module {}, so its points cannot be read: {}", origin.device().text(),
                other_interface(origin.status.interface), which_to_upgrade(origin.status.interface)));
}

void require_our_interface(const OriginState& origin)
{
    if (!origin.status.details)
        throw interface_differs(origin.status.interface).as(Fault::cannot_start);
}

const OriginState* find_attached(const Machine& machine, const BlockDevice& block)
{
    if (block.is_dm())
        if (const Error* error = machine.why_unread(DmName(block.dm_name)))
            throw *error;
    const OriginState* origin = machine.find(block.number);
    // It may be below a device of ours that could not be read.
    for (const Error& error : machine.unread)
        for (const char* begin : {"dmsnap-top-", "dmsnap-base-", "dmsnap-end-", "dmsnap-leg-", "dmsnap-meta-"})
            if (origin == nullptr && error.subject().starts_with(begin))
                throw error;
    return origin;
}

BlockDevice resolve_live(const Machine& machine, const std::string& spec)
{
    try {
        return resolve(spec);
    } catch (const Error& error) {
        for (const OriginState& origin : machine.origins)
            if (origin.pulled() && (spec == origin.device().text() || spec == origin.number().text()))
                return *origin.live;
        for (const EndpointState& endpoint : machine.endpoints)
            if (endpoint.live && (spec == endpoint.device().text() || spec == endpoint.live->number.text()))
                return *endpoint.live;
        throw;
    }
}

const OriginState& require_attached(const Machine& machine, const std::string& spec, const char* operation)
{
    const BlockDevice block = resolve_live(machine, spec);
    if (const OriginState* origin = find_attached(machine, block))
        return *origin;
    throw Error(printable(block.name()), operation, "it is not attached", "dmsnap status shows what is");
}

std::vector<FoundPoint> require_points(
    const Machine& machine, const std::string& object, const std::string* device, const char* operation)
{
    // A name has no ':', a device may have, and a point's id has one.
    const auto colon = object.rfind(':');
    if (colon == std::string::npos || PointId::from_text(object)) {
        const OriginState* only = device != nullptr ? &require_attached(machine, *device, operation) : nullptr;
        return find_points(machine, only, object);
    }
    return find_points(
        machine, &require_attached(machine, object.substr(0, colon), operation), object.substr(colon + 1));
}

void print(const std::string& text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw Error("standard output", "write to it", errno);
}

} // namespace dmsnap::tool
