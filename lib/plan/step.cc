// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "plan/step.h"

#include "base/text.h"
#include "base/visit.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

namespace dmsnap {
namespace {

/// One row a step: verb and object in columns, so that plans can be read and compared.
std::string row(std::string_view verb, std::string_view object, std::string_view rest = {})
{
    const auto shown = [](std::string_view text) { return printable(text, std::string_view::npos); };
    return fmt::format("{:<8}{}{}{}\n", verb, shown(object), rest.empty() ? "" : "  ", shown(rest));
}

std::string shown(const Table& table)
{
    std::string text;
    for (const TableLine& line : table)
        text += (text.empty() ? "" : "; ") + shown_text(line);
    return text;
}

std::string join(const std::vector<std::string>& parts)
{
    std::string text;
    for (const std::string& part : parts)
        text += (text.empty() ? "" : " ") + part;
    return text;
}

Message message_of(const Hook& step) { return step.message; }
Message message_of(const Unhook& step) { return step.message; }
Message message_of(const Redirect& step) { return RedirectMessage{step.endpoint, step.deadline, step.freeze}; }
Message message_of(const Direct&) { return DirectMessage{}; }
Message message_of(const Take& step) { return step.message; }
Message message_of(const Drop& step) { return step.message; }
Message message_of(const Release& step) { return step.message; }
Message message_of(const ChangePoint& step) { return step.message; }
Message message_of(const UseStore& step) { return StoreMessage{step.store}; }
Message message_of(const LeaveStore&) { return UnstoreMessage{}; }

/// Which device takes it.
template <typename AnyStep> const DmName& receiver_of(const AnyStep& step) { return step.name; }
const DmName& receiver_of(const Take& step) { return step.names.front(); }
const DmName& receiver_of(const ChangePoint& step) { return step.names.front(); }

/// Table lines on dmsetup's standard input.  A device that has no number in the plan has a node by then.
std::string feed(const Table& table)
{
    std::string text = "printf '%s\\n'";
    for (const TableLine& line : table) {
        std::string words = shown_text(line);
        for (const DeviceRef& device : devices({line}))
            if (const auto* name = std::get_if<DmName>(&device)) {
                const std::string mark = to_text(device);
                words.replace(words.find(mark), mark.size(), "/dev/mapper/" + name->text());
            }
        text += " " + shell_word(words);
    }
    return text + " | ";
}

/// For a command that has such lines: what it cannot tell.
std::string remark_on(const Table& table)
{
    for (const TableLine& line : table)
        if (shown_text(line) != to_text(line))
            return "  # KEY stands for the key, which is not shown; dmsnap recover needs nobody to type it";
    return {};
}

std::string dmsetup_create(const NewDevice& device)
{
    return fmt::format("{}dmsetup create {} --uuid {}{}{}", feed(device.table), shell_word(device.name.text()),
        shell_word(device.uuid), device.read_only ? " --readonly" : "", remark_on(device.table));
}

std::string dmsetup_prepare(const NewDevice& device)
{
    const std::string name = shell_word(device.name.text());
    return fmt::format("dmsetup create {} --uuid {} --notable && {}dmsetup load {}", name, shell_word(device.uuid),
        feed(device.table), name);
}

std::string dmsetup_swap(const SuspendedSwap& swap)
{
    const std::string name = shell_word(swap.name.text());
    return fmt::format("dmsetup suspend --nolockfs {} && dmsetup {} --nolockfs {} && dmsetup resume --nolockfs {}",
        name, swap.to_base ? "resume" : "suspend", shell_word(swap.base.text()), name);
}

std::string dmsetup_message(const DmName& name, const Message& message)
{
    std::string command = fmt::format("dmsetup message {} 0", shell_word(name.text()));
    const std::string text = to_text(message);
    for (std::string_view word : words(text))
        command += " " + shell_word(word);
    return command;
}

} // namespace

std::string to_text(const Step& step)
{
    return std::visit(
        Visit{
            [](const FormatStore& s) {
                return row("format", s.store.path,
                    fmt::format("store {} length {} granule {}", s.store.store.text(), s.store.length.count,
                        s.store.granule.count));
            },
            [](const BlankEnds& s) { return row("blank", s.blank.path, "both ends"); },
            [](const EraseSignatures& s) { return row("erase", s.path, "what it is found by"); },
            [](const MakeStoreFile& s) { return row("make", s.path, exact_size(s.length)); },
            [](const RemoveStoreFile& s) { return row("delete", s.path); },
            [](const LayStoreFile& s) {
                return row(
                    "lay", s.name.text(), fmt::format("{} length {} chunk {}", s.path, s.length.count, s.chunk.count));
            },
            [](const Create& s) {
                return row("create", s.device.name.text(),
                    fmt::format(
                        "{}{}  {}", s.device.uuid, s.device.read_only ? " read-only" : "", shown(s.device.table)));
            },
            [](const Prepare& s) {
                return row(
                    "prepare", s.device.name.text(), fmt::format("{}  {}", s.device.uuid, shown(s.device.table)));
            },
            [](const Load& s) { return row("load", s.name.text(), shown(s.table)); },
            [](const Clear& s) { return row("clear", s.name.text()); },
            [](const Resume& s) { return row("resume", s.name.text()); },
            [](const SwapSuspended& s) {
                return row("swap", s.swap.name.text(),
                    fmt::format("suspended, {} {}", s.swap.base.text(), s.swap.to_base ? "starts" : "stops"));
            },
            [](const SwapQuiet& s) {
                return row("swap", s.swap.name.text(),
                    fmt::format("quiet, {}{}{}", s.swap.health,
                        s.swap.copied ? fmt::format(", ends of {} to {}", s.swap.copied->from, s.swap.copied->to) : "",
                        s.swap.below ? ", with " + s.swap.below->text() : ""));
            },
            [](const WakeUp& s) { return row("wake", s.name.text()); },
            [](const Remove& s) { return row("remove", s.device.name.text()); },
            [](const SyncFilesystems& s) { return row("sync", join(s.mount_points)); },
            [](const RenameImage& s) { return row("rename", s.name.text(), s.to.text()); },
            [](const MakeLink& s) { return row("link", s.path, s.device.text()); },
            [](const RemoveLink& s) { return row("unlink", s.path); },
            [](const auto& s) { return row("message", receiver_of(s).text(), to_text(message_of(s))); },
        },
        step);
}

Plan with_files_last(Plan plan)
{
    std::stable_partition(
        plan.begin(), plan.end(), [](const Step& step) { return !std::holds_alternative<RemoveStoreFile>(step); });
    return plan;
}

void append(Plan& plan, Plan more) { std::move(more.begin(), more.end(), std::back_inserter(plan)); }

std::string to_text(const Plan& plan)
{
    std::string text;
    for (const Step& step : plan)
        text += to_text(step);
    return text;
}

std::string by_hand(const Step& step)
{
    return std::visit(
        Visit{
            // The one step that no tool but this one can do.
            [](const FormatStore& s) { return fmt::format("# format the store {}", s.store.path); },
            [](const MakeStoreFile& s) {
                return fmt::format("fallocate --length {} {} && chattr +i {}", s.length.bytes().count,
                    shell_word(s.path), shell_word(s.path));
            },
            [](const RemoveStoreFile& s) {
                return fmt::format("chattr -i {} && rm -f {}", shell_word(s.path), shell_word(s.path));
            },
            [](const LayStoreFile& s) { return fmt::format("# lay {} over {}", s.name.text(), s.path); },
            [](const BlankEnds& s) { return "wipefs --all " + shell_word(s.blank.path); },
            [](const EraseSignatures& s) { return "wipefs --all " + shell_word(s.path); },
            [](const Create& s) { return dmsetup_create(s.device); },
            [](const Prepare& s) { return dmsetup_prepare(s.device); },
            [](const Load& s) {
                return fmt::format("{}dmsetup load {}{}", feed(s.table), shell_word(s.name.text()), remark_on(s.table));
            },
            [](const Clear& s) { return "dmsetup clear " + shell_word(s.name.text()); },
            [](const Resume& s) {
                return fmt::format("dmsetup resume --nolockfs{} {}",
                    s.visibility == Visibility::private_device ? " --noflush" : "", shell_word(s.name.text()));
            },
            [](const SwapSuspended& s) { return dmsetup_swap(s.swap); },
            [](const SwapQuiet&) { return std::string("dmsnap recover"); },
            [](const WakeUp&) { return std::string("dmsnap recover"); },
            [](const Remove& s) { return "dmsetup remove " + shell_word(s.device.name.text()); },
            [](const SyncFilesystems& s) {
                std::string command = "sync --file-system";
                for (const std::string& target : s.mount_points)
                    command += " " + shell_word(target);
                return command;
            },
            [](const RenameImage& s) {
                return fmt::format("dmsetup rename {} {}", shell_word(s.name.text()), shell_word(s.to.text()));
            },
            [](const MakeLink& s) {
                return fmt::format("ln -sf {} {}", shell_word("/dev/mapper/" + s.device.text()), shell_word(s.path));
            },
            [](const RemoveLink& s) { return "rm -f " + shell_word(s.path); },
            [](const auto& s) { return dmsetup_message(receiver_of(s), message_of(s)); },
        },
        step);
}

} // namespace dmsnap
