// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
//   look at the target, ask -> blank its ends -> a raid1 in the device's place
//     -> wait, nobody's lock held -> its ends -> in sync                            (a signal: it goes on without us)
//          --split: the device by itself again       --swap: the target alone, the device's own signature erased
#include "base/text.h"
#include "copy_target.h"
#include "interrupt.h"
#include "log.h"
#include "ops/endpoint.h"
#include "ops/mirror.h"
#include "point_words.h"
#include "progress.h"
#include "session.h"
#include "world/signature.h"

#include <chrono>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <thread>

namespace dmsnap::tool {
namespace {

constexpr Option options[] = {
    {"background,b", nullptr, "do not wait until it is in sync"},
    {"split", nullptr, "then end the mirror: TARGET is a copy of that instant"},
    {"swap", nullptr, "then let the device run on TARGET alone"},
    {"keep-signature", nullptr, "with --swap: leave on the device itself what it is found by"},
    {"deadline", "SECONDS", "how long freezing and waiting may take, 10 unless given"},
};

constexpr auto between_looks = std::chrono::milliseconds(300);
constexpr unsigned stuck_looks = 10; // it may only not have begun yet

Error not_mirrored(const std::string& device)
{
    return Error(device, "wait for its mirror", "it is not mirrored",
        fmt::format("dmsnap mirror {} TARGET", shell_word(device)));
}

/// The mirror of one device, looked at anew each time.
class Mirror {
public:
    explicit Mirror(const Arguments& arguments) : arguments_(arguments), spec_(arguments.objects().front()) {}

    /// Nothing if it has none.  Throws Error if another table stands in its place.
    std::optional<MirrorState> look(Dm& dm)
    {
        const Machine machine = survey(dm);
        const EndpointState* endpoint = find(machine);
        if (endpoint == nullptr)
            return std::nullopt;
        device_ = endpoint->device().text();
        if (const auto other = serves_in_place(*endpoint))
            throw Error(device_, "mirror it", fmt::format("it runs on {} already", node_of(*other)),
                "umount and detach it, or restart the machine from that one, first");
        if (does_nothing(*endpoint, endpoint->table))
            throw Error(device_, "mirror it", "another command is at work on it, or has died", "dmsnap recover");
        const auto mirror = mirror_of(*endpoint);
        if (!mirror)
            throw Error(device_, "mirror it", "another table stands in its place", "dmsnap detach it first");
        require_same(*endpoint);
        return mirror;
    }

    /// Puts the mirror in its place, unless it is there.  In a dry run only says so; false then.
    bool begin(const std::string& target)
    {
        if (const auto mirror = look(*start())) {
            if (mirror->target != resolve(target).number)
                throw Error(device_, "mirror it", fmt::format("it is mirrored on {}", node_of(mirror->target)),
                    "dmsnap detach it first");
            return true;
        }
        const BlockDevice origin = resolve(spec_);
        require_interface(*start(), false);
        CopyTarget copy(arguments_, target, origin);
        Change change(arguments_);
        for (const char* type : {"raid", "zero"})
            if (!change.dm().target_version(type))
                throw Error(printable(spec_), "mirror it", fmt::format("this kernel has no target {}", type),
                    fmt::format("modprobe dm-{}, which tells why", type))
                    .as(Fault::cannot_start);
        const BlockDevice block = change.hold(spec_);
        if (!same_device(block, origin))
            throw Error(printable(spec_), "mirror it", "it is another one at each look", "again");
        const Machine machine = survey(change.dm());
        const Candidate candidate = read_live(change.dm(), block, Via::hook);
        redirect_ = draw_uuid(machine);
        const Plan plan = plan_mirror(
            machine, candidate, *redirect_, {copy.device().number, copy.path(), copy.below()}, deadline_of(arguments_));
        if (!change.dry_run()) {
            copy.claim();
            copy.release(); // to the plan, and to device-mapper, which claims it
        }
        device_ = block.name();
        change.carry_out(plan);
        return !change.dry_run();
    }

    /// Until target and device are the same, to their ends.
    void wait()
    {
        const Interrupt interrupt;
        std::optional<tool::Progress> progress;
        unsigned stuck = 0;
        const auto dm = start();
        for (;;) {
            const auto mirror = look(*dm);
            if (!mirror)
                throw not_mirrored(device_.empty() ? printable(spec_) : device_);
            stuck = mirror->stuck() ? stuck + 1 : 0;
            if (mirror->target_failed() || stuck >= stuck_looks) {
                give_up(*mirror);
                stuck = 0;
                continue;
            }
            if (mirror->in_sync() && mirror->whole) {
                if (mirror->device_failed())
                    log_warning(fmt::format("{}: it has failed, and lives by its mirror alone", device_));
                return;
            }
            if (mirror->in_sync()) {
                complete();
                continue;
            }
            if (interrupt.came())
                throw Error(device_, "wait for its mirror", "a signal has come; the mirror goes on without",
                    fmt::format("dmsnap mirror {0}, to wait again; dmsnap detach {0}, to end it", shell_word(device_)));
            if (!progress)
                progress.emplace(fmt::format("{} to {}", device_, node_of(mirror->target)));
            progress->say(mirror->raid.synced.bytes(), mirror->raid.all.bytes());
            std::this_thread::sleep_for(between_looks);
        }
    }

    void split()
    {
        const DeviceNumber target = change_to([](const EndpointState& endpoint) { return plan_split(endpoint); });
        if (is_dry_run(arguments_))
            return;
        try {
            const File file = File::open(node_of(target), O_RDWR); // udev looks again when it is closed
            file.sync();
            file.forget_read();
        } catch (const Error& error) {
            log_warning(error.what()); // the copy itself is done
        }
        log_warning(fmt::format(
            "{}: split off; it has the same UUIDs as {}, and must not be mounted beside it", node_of(target), device_));
    }

    void swap()
    {
        const bool erase = !arguments_.has("keep-signature");
        const DeviceNumber target =
            change_to([&](const EndpointState& endpoint) { return plan_swap(endpoint, erase); });
        if (!is_dry_run(arguments_))
            say_swapped(target);
    }

    /// Whether it runs on its mirror already; what a command that died has left of that is done.
    bool was_swapped()
    {
        Change change(arguments_); // mends
        const Machine machine = survey(change.dm());
        const EndpointState* endpoint = find(machine);
        const auto target = endpoint != nullptr ? serves_in_place(*endpoint) : std::nullopt;
        if (!target || (arguments_.objects().size() == 2 && resolve(arguments_.objects()[1]).number != *target))
            return false;
        device_ = endpoint->device().text();
        if (is_half_swapped(*endpoint))
            finish_swap(change, *endpoint, *target);
        say_swapped(*target);
        return true;
    }

    /// Before anything is done.
    void ask_for_signature()
    {
        if (arguments_.has("keep-signature"))
            return;
        const auto signature = signature_of(survey(*start()));
        if (signature &&
            !confirm(arguments_, printable(spec_), "swap it for its mirror",
                fmt::format("what it carries, {}, will be found on the other device alone", signature->description)))
            throw Error(printable(spec_), "swap it for its mirror", "the answer was no", "--keep-signature");
    }

private:
    const EndpointState* find(const Machine& machine) const
    {
        return machine.find_endpoint(resolve_live(machine, spec_).number);
    }

    /// Nothing of one that cannot be read any more.
    std::optional<Signature> signature_of(const Machine& machine) const
    {
        try {
            return find_signature(node_path(resolve_live(machine, spec_)));
        } catch (const Error&) {
            return std::nullopt;
        }
    }

    /// That of one and the same mirror, each time.
    void require_same(const EndpointState& endpoint)
    {
        if (redirect_ && *redirect_ != endpoint.redirect)
            throw Error(device_, "mirror it", "it was given another mirror meanwhile", "dmsnap status");
        redirect_ = endpoint.redirect;
    }

    void say_swapped(DeviceNumber target) const
    {
        log_warning(fmt::format(
            "{0}: it runs on {1} now, until the machine restarts, or it is unmounted and detached; from then "
            "on mount {1}, which is found by the UUIDs of {0}",
            device_, node_of(target)));
        log_warning(
            fmt::format("{0}: where {0} is named, or its PARTUUID, in /etc/fstab or for the boot loader, name {1}; "
                        "if its disk has the boot loader, install that on the other one",
                device_, node_of(target)));
        log_warning(
            fmt::format("{}: leave its disk in until then: from Linux 6.5 on a filesystem ends when the disk goes "
                        "that it was mounted from",
                device_));
        if (arguments_.has("keep-signature"))
            log_warning(fmt::format(
                "{}: it keeps what it is found by, and has the same UUIDs as {}", device_, node_of(target)));
    }

    /// Of a swap whose end could not be mended.
    void finish_swap(Change& change, const EndpointState& endpoint, DeviceNumber target) const
    {
        const bool keep = arguments_.has("keep-signature");
        if (!keep && !change.dry_run())
            throw Error(device_, "end its swap for its mirror",
                fmt::format("it runs on {}, and what it is found by itself could not be erased", node_of(target)),
                fmt::format("dmsnap mirror --swap --keep-signature {}, to leave it there", shell_word(device_)))
                .as(Fault::not_undone);
        change.carry_out(keep ? plan_end_mirror(endpoint) : plan_finish_swap(endpoint));
    }

    static std::string node_of(DeviceNumber number)
    {
        try {
            return node_path(read_block_device(number)).string();
        } catch (const Error&) {
            return number.text(); // it is gone
        }
    }

    /// Carries out what `make` says for the mirror as it is by then; the mirror's target.
    template <typename Make> DeviceNumber change_to(Make make)
    {
        Change change(arguments_);
        change.hold(spec_);
        DeviceNumber target;
        change.carry_out(change.plan([&](const Machine& machine) -> Plan {
            const EndpointState* endpoint = find(machine);
            const auto mirror = endpoint != nullptr ? mirror_of(*endpoint) : std::nullopt;
            if (!mirror)
                throw not_mirrored(printable(spec_));
            device_ = endpoint->device().text();
            require_same(*endpoint);
            target = mirror->target;
            return make(*endpoint);
        }));
        return target;
    }

    void complete()
    {
        change_to([](const EndpointState& endpoint) -> Plan {
            return mirror_of(endpoint)->whole ? Plan() : plan_complete(endpoint);
        });
    }

    /// The target has failed, or can be no copy: the device goes on by itself.
    void give_up(const MirrorState& seen)
    {
        const std::string target = node_of(seen.target);
        bool ended = false;
        change_to([&](const EndpointState& endpoint) -> Plan {
            const auto mirror = mirror_of(endpoint);
            ended = mirror->target_failed() || mirror->stuck();
            return ended ? plan_end(endpoint) : Plan();
        });
        if (!ended)
            return; // it has come back
        if (seen.target_failed())
            throw Error(device_, "mirror it", fmt::format("{} has failed; the device goes on by itself", target),
                "dmesg, which tells why; another target");
        throw Error(device_, "mirror it", "it cannot be read everywhere; it goes on by itself, without a mirror",
            "dmesg, which tells where");
    }

    const Arguments& arguments_;
    std::string spec_;
    std::string device_; ///< as it is called, once it was seen
    std::optional<Uuid> redirect_;
};

void require_sense(const Arguments& arguments)
{
    const auto nonsense = [](const char* what) {
        return Error("command line", "go on", what, "dmsnap help mirror").as(Fault::usage);
    };
    if (arguments.has("split") && arguments.has("swap"))
        throw nonsense("--split and --swap exclude each other");
    if (arguments.has("background") && (arguments.has("split") || arguments.has("swap")))
        throw nonsense("what comes when it is in sync cannot be left to the background");
    if (arguments.has("keep-signature") && !arguments.has("swap"))
        throw nonsense("--keep-signature makes no sense without --swap");
}

int run_mirror(const Arguments& arguments)
{
    arguments.require_objects(1, 2);
    require_sense(arguments);
    Mirror mirror(arguments);
    // Either mends before the first look, which waits for what a dead command has left suspended.
    if (arguments.has("swap")) {
        if (mirror.was_swapped())
            return exit_done;
        mirror.ask_for_signature();
    } else {
        const Change mended(arguments);
    }
    if (arguments.objects().size() == 2 && !mirror.begin(arguments.objects()[1])) {
        print(fmt::format("# wait until it is in sync, then copy the ends of the target{}\n",
            arguments.has("swap")    ? ", and let the device run on it"
            : arguments.has("split") ? ", and end the mirror"
                                     : ""));
        return exit_done;
    }
    if (arguments.has("background"))
        return exit_done;
    if (!is_dry_run(arguments))
        mirror.wait();
    if (arguments.has("split"))
        mirror.split();
    else if (arguments.has("swap"))
        mirror.swap();
    return exit_done;
}

} // namespace

const Command mirror_command = {
    .name = "mirror",
    .synopsis = "[-b|--background] [--split | --swap [--keep-signature]] [--deadline SECONDS] [OPTIONS] "
                "DEVICE [TARGET]",
    .summary = "mirror a live device on another one, and move to it",
    .options = options,
    .group = Group::mutates,
    .hidden = false,
    .run = run_mirror,
};

} // namespace dmsnap::tool
