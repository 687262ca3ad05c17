// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Device-mapper and host as models, that fail when told.
#pragma once

#include "base/error.h"
#include "ops/naming.h"
#include "plan/dm.h"
#include "plan/host.h"
#include "table/raid.h"
#include "table/status.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace dmsnap::test {

/// What ends a program between two calls; no Error, so that nobody catches it.
struct Killed {};

/// Counts the calls that change something and lets one of them fail.
class Trouble {
public:
    enum class When {
        before, ///< the call does nothing
        after,  ///< the call does it all, and says it failed
    };

    void fail_at(unsigned call, When when = When::before)
    {
        at_ = call;
        when_ = when;
    }
    /// From that call on everything fails.
    void fail_from(unsigned call)
    {
        fail_at(call);
        for_ever_ = true;
    }
    unsigned calls() const { return calls_; }
    /// The program dies at that moment, counted from now; moments lie before and after each call, and inside some.
    void die_at(unsigned moment) { dies_at_ = moments_ + moment; }
    void live_on()
    {
        dies_at_ = 0;
        at_ = 0;
    }
    unsigned moments() const { return moments_; }
    void pass_moment()
    {
        if (++moments_ == dies_at_)
            throw Killed();
    }

    /// Does `act` or not, and throws if it is this call's turn.
    template <typename Act> void during(const std::string& subject, Act act)
    {
        pass_moment();
        ++calls_;
        const bool fails = at_ != 0 && (calls_ == at_ || (for_ever_ && calls_ > at_));
        if (!fails || when_ == When::after)
            act();
        if (fails)
            throw Error(subject, "do it", EIO);
        pass_moment();
    }

private:
    unsigned calls_ = 0;
    unsigned at_ = 0;
    unsigned moments_ = 0;
    unsigned dies_at_ = 0;
    When when_ = When::before;
    bool for_ever_ = false;
};

/// One device of the model.
struct FakeDevice {
    std::string uuid;
    DeviceNumber number;
    Table live;
    Table inactive;
    bool suspended = false;
    bool read_only = false;
    std::string loaded_legs = {}; ///< as they were when `inactive` was loaded
    bool operator==(const FakeDevice&) const = default;
};

/// What the kernel keeps of an origin while an interpose table is live.
struct FakeOrigin {
    Uuid generation;
    std::uint64_t last_id = 0;
    std::vector<Point> points;
    std::optional<Uuid> store;
    bool lost = false; ///< a stranger's table came between, or the hook ended
    bool hooked = false;
};

/// A device-mapper with devices, slots and origins.  Numbers of devices are never used twice.
class FakeDm final : public Dm {
public:
    Trouble trouble;
    std::map<DmName, DeviceNumber> endpoints;      ///< of bases, where their live device's bios go
    std::string mirror_status = "4/4 1 AA 1 core"; ///< behind the legs
    std::map<DmName, FakeDevice> devices;
    std::map<Uuid, FakeOrigin> origins;
    bool udev = true;
    /// The next resume that swaps tables loses the new one and leaves the old one suspended.
    bool swap_fails = false;
    /// A stranger loads it at the last moment before the next resume that swaps tables.
    Table overtakes;
    /// Of every raid there is: a letter for each leg.
    std::string legs = "AA";
    std::string synced = "4096/4096";
    /// What a quiet moment was used to copy.
    std::vector<Run> copied;
    /// Devices that do not tell their status.
    std::set<DmName> mute;

    /// A device as somebody else made it.
    DmName add(const std::string& name, const std::string& table)
    {
        devices[DmName(name)] = {"", next_number(), parse_table(table), {}, false, false};
        return DmName(name);
    }

    /// All there is, but for what counts up: numbers of devices and ids of points.
    std::string state() const
    {
        std::string text;
        for (const auto& [name, device] : devices) {
            text += name.text() + " " + device.uuid + (device.suspended ? " suspended" : "") +
                    (device.inactive.empty() ? "" : " inactive") + "\n" + to_text(device.live);
        }
        for (const auto& [uuid, origin] : origins) {
            text += "origin " + uuid.text() + " store " + (origin.store ? origin.store->text() : "-") +
                    (origin.hooked ? " hooked" : "") + "\n";
            for (const Point& point : origin.points)
                text += "  " + std::string(to_text(point.kind)) + " " + point.name.text() + " " + to_hex(point.data) +
                        " " + point.tags.text() + "\n";
        }
        return text;
    }

    std::vector<DmName> list() override
    {
        std::vector<DmName> names;
        for (const auto& [name, device] : devices)
            names.push_back(name);
        return names;
    }

    std::optional<DmInfo> info(const DmName& name) override
    {
        const auto found = devices.find(name);
        if (found == devices.end())
            return std::nullopt;
        const FakeDevice& device = found->second;
        return DmInfo{name, device.uuid, device.number, device.suspended, !device.live.empty(),
            !device.inactive.empty(), device.read_only, open_count(device.number), 0};
    }

    std::optional<DmInfo> info(DeviceNumber number) override
    {
        for (const auto& [name, device] : devices)
            if (device.number == number)
                return info(name);
        return std::nullopt;
    }

    Table table(const DmName& name) override { return at(name).live; }
    Table inactive_table(const DmName& name) override { return at(name).inactive; }

    std::vector<StatusLine> status(const DmName& name) override
    {
        if (mute.count(name) != 0)
            throw Error(name.text(), "read its status", ENOMEM);
        const FakeDevice& device = at(name);
        if (const Interpose* line = interpose_line(device.live))
            return {{{0}, length(device.live), INTERPOSE_TARGET, to_text(status_of(*line))}};
        for (const TableLine& l : device.live)
            if (const auto* image = std::get_if<InterposeImage>(&l.target))
                return {{{0}, length(device.live), INTERPOSE_TARGET_IMAGE, to_text(status_of_image(*image))}};
        if (device.uuid.ends_with("-base") && !runs_once(device.live)) {
            const auto endpoint = endpoints.find(name);
            return {{{0}, length(device.live), INTERPOSE_TARGET_BASE,
                to_text(BaseStatus{INTERPOSE_INTERFACE,
                    endpoint != endpoints.end() ? std::optional(endpoint->second) : std::nullopt})}};
        }
        if (device.uuid.ends_with("-store"))
            return {{{0}, length(device.live), INTERPOSE_TARGET_STORE, to_text(status_of_store(device))}};
        if (runs_once(device.live))
            return {raid_status(device.live, legs, synced)};
        if (const auto* other = std::get_if<OtherTarget>(&device.live.front().target);
            other != nullptr && other->type == "mirror") { // "core 1 REGION 2 A 0 B 0"
            const auto w = words(other->arguments);
            return {{{0}, length(device.live), "mirror",
                "2 " + std::string(w[4]) + " " + std::string(w[6]) + " " + mirror_status}};
        }
        return {};
    }

    std::vector<StatusLine> inactive_status(const DmName& name) override
    {
        return {raid_status(at(name).inactive, at(name).loaded_legs, synced)};
    }

    std::optional<TargetVersion> target_version(const std::string&) override
    {
        return TargetVersion{INTERPOSE_INTERFACE, 0, 0};
    }

    bool udev_runs() override { return udev; }

    void create(const NewDevice& device) override
    {
        trouble.during(device.name.text(), [&] {
            FakeDevice& made = make(device);
            trouble.pass_moment();
            start(made);
        });
    }

    void prepare(const NewDevice& device) override
    {
        trouble.during(device.name.text(), [&] { make(device); });
    }

    void load(const DmName& name, const Table& table) override
    {
        trouble.during(name.text(), [&] {
            require_numbers(table);
            // The module has it so: an origin that is suspended gets no other table of ours.
            if (at(name).suspended && interpose_line(at(name).live) != nullptr && interpose_line(table) != nullptr)
                throw Error(name.text(), "load its table", EBUSY);
            put_beside(at(name), table);
        });
    }

    void clear(const DmName& name) override
    {
        trouble.during(name.text(), [&] { at(name).inactive.clear(); });
    }

    void resume(const DmName& name, Visibility) override
    {
        FakeDevice& device = at(name);
        if (swap_fails && !device.inactive.empty()) {
            swap_fails = false;
            device.inactive.clear();
            device.suspended = true;
            throw Error(name.text(), "resume it", EIO);
        }
        if (!overtakes.empty() && !device.inactive.empty())
            device.inactive = std::exchange(overtakes, {});
        trouble.during(name.text(), [&] { start(device); });
    }

    /// As its real child does it: three requests and a look at the legs, and back if one of them fails.
    void swap_suspended(const SuspendedSwap& swap) override
    {
        FakeDevice& live = at(swap.name);
        FakeDevice& base = at(swap.base);
        const auto set_base = [&](bool runs) { runs ? start(base) : void(base.suspended = true); };
        const bool from_base = interpose_line(swap.before) != nullptr;
        try {
            trouble.during(swap.name.text(), [&] { live.suspended = true; });
            if (!swap.health.empty() && !same_failures(swap.health, legs))
                throw Error(swap.name.text(), "swap its table", ESTALE);
            trouble.during(swap.base.text(), [&] { set_base(swap.to_base); });
            trouble.during(swap.name.text(), [&] { start(live); });
        } catch (const Error&) {
            trouble.pass_moment();
            set_base(false);
            trouble.pass_moment();
            live.inactive.clear();
            trouble.pass_moment();
            if ((interpose_line(live.live) != nullptr) != from_base)
                put_beside(live, swap.before);
            trouble.pass_moment();
            start(live);
            trouble.pass_moment();
            if (from_base)
                set_base(true);
            throw;
        }
    }

    /// As its real child does it.
    void swap_quiet(const QuietSwap& swap) override
    {
        FakeDevice& device = at(swap.name);
        try {
            trouble.during(swap.name.text(), [&] { device.suspended = true; });
            if (legs != swap.health)
                throw Error(swap.name.text(), "swap its table", ESTALE);
            if (swap.copied)
                trouble.during(swap.copied->to, [&] { copied = swap.copied->parts; });
            if (swap.below)
                trouble.during(swap.below->text(), [&] { start(at(*swap.below)); });
            trouble.during(swap.name.text(), [&] { start(device); });
        } catch (const Error&) {
            if (device.suspended) {
                device.inactive.clear();
                device.suspended = false;
            }
            throw;
        }
    }

    void remove(const DmName& name) override
    {
        trouble.during(name.text(), [&] {
            const DeviceNumber number = at(name).number;
            if (open_count(number) > 0)
                throw Error(name.text(), "remove it", EBUSY);
            if (const Interpose* line = interpose_line(at(name).live)) {
                if (origins.at(line->origin).hooked)
                    throw Error(name.text(), "remove it", EBUSY);
                origins.erase(line->origin);
            }
            devices.erase(name);
        });
    }

    void rename(const DmName& name, const DmName& to, Visibility) override
    {
        trouble.during(name.text(), [&] {
            if (devices.count(to) != 0)
                throw Error(name.text(), "rename it", EBUSY);
            devices[to] = at(name);
            devices.erase(name);
        });
    }

    std::string message(const DmName& name, const Message& message) override
    {
        if (at(name).live.size() == 1 && std::holds_alternative<InterposeBase>(at(name).live.front().target)) {
            trouble.during(name.text(), [&] { answer_base(name, message); });
            return {};
        }
        const Interpose* line = interpose_line(at(name).live);
        if (line == nullptr)
            throw Error(name.text(), "send a message", EINVAL);
        FakeOrigin& origin = origins.at(line->origin);
        if (origin.lost && !std::holds_alternative<UnhookMessage>(message))
            throw Error(name.text(), "send a message", ESTALE);
        if (std::holds_alternative<PointsMessage>(message))
            return to_text(PointsPage{origin.generation, std::nullopt, origin.points});
        std::string answer;
        trouble.during(name.text(),
            [&] { answer = std::visit([&](const auto& m) { return answer_to(m, *line, origin); }, message); });
        return answer;
    }

private:
    /// As it is before it runs.
    FakeDevice& make(const NewDevice& device)
    {
        if (devices.count(device.name) != 0)
            throw Error(device.name.text(), "create it", EEXIST);
        require_numbers(device.table);
        require_length(device.table);
        FakeDevice& made = devices[device.name] = {device.uuid, next_number(), {}, {}, false, device.read_only};
        trouble.pass_moment();
        put_beside(made, device.table);
        return made;
    }

    void put_beside(FakeDevice& device, const Table& table)
    {
        device.inactive = table;
        device.loaded_legs = legs;
    }

    static StatusLine raid_status(const Table& table, const std::string& legs, const std::string& synced)
    {
        return {{0}, length(table), "raid", "raid1 2 " + legs + " " + synced + " idle 0 0 -"};
    }

    FakeDevice& at(const DmName& name)
    {
        const auto found = devices.find(name);
        if (found == devices.end())
            throw Error(name.text(), "find it", ENXIO);
        return found->second;
    }

    /// By the tables on it.
    std::uint32_t open_count(DeviceNumber number) const
    {
        std::uint32_t count = 0;
        for (const auto& [base, endpoint] : endpoints)
            count += endpoint == number ? 1 : 0;
        for (const auto& [name, device] : devices)
            for (const Table* table : {&device.live, &device.inactive}) {
                const auto below = dmsnap::devices(*table);
                count += std::find(below.begin(), below.end(), DeviceRef(number)) != below.end() ? 1 : 0;
            }
        return count;
    }

    InterposeStatus status_of(const Interpose& line) const
    {
        const FakeOrigin& origin = origins.at(line.origin);
        InterposeStatus status{
            INTERPOSE_INTERFACE, origin.generation, origin.lost ? INTERPOSE_STATE_LOST : INTERPOSE_STATE_ACTIVE, {}};
        auto& details = status.details.emplace();
        details.last_id = origin.last_id;
        details.points = origin.points.size();
        for (const Point& point : origin.points)
            details.snapshots += point.kind == PointKind::snapshot && point.valid ? 1 : 0;
        details.store = origin.store;
        details.chunk = line.chunk;
        if (origin.hooked)
            details.hooked = live_below(line);
        return status;
    }

    /// What the base of a hooked origin leads to.
    std::optional<DeviceNumber> live_below(const Interpose& line) const
    {
        for (const auto& [name, device] : devices)
            if (DeviceRef(device.number) == line.base && !device.live.empty())
                if (const auto* base = std::get_if<InterposeBase>(&device.live.front().target))
                    return std::get<DeviceNumber>(base->live);
        return std::nullopt;
    }

    ImageStatus status_of_image(const InterposeImage& line) const
    {
        if (const auto origin = origins.find(line.origin); origin != origins.end() && !origin->second.lost)
            return {INTERPOSE_INTERFACE, line.point->generation, INTERPOSE_VALIDITY_VALID,
                ImageStatus::Details{line.point->id, std::nullopt}};
        return {INTERPOSE_INTERFACE, line.point->generation, INTERPOSE_VALIDITY_INVALID,
            ImageStatus::Details{line.point->id, INTERPOSE_FAILURE_DETACHED}};
    }

    StoreStatus status_of_store(const FakeDevice& device) const
    {
        const std::string prefix(uuid_prefix);
        const auto uuid = Uuid::from_text(std::string_view(device.uuid).substr(prefix.size(), 36));
        StoreStatus status{INTERPOSE_INTERFACE, *uuid, INTERPOSE_STORE_OK, {}};
        auto& details = status.details.emplace();
        for (const auto& [origin_uuid, origin] : origins)
            details.origins += origin.store == uuid ? 1 : 0;
        return status;
    }

    DeviceNumber next_number() { return {253, minor_++}; }

    /// The kernel knows nothing of names.
    static void require_numbers(const Table& table)
    {
        if (to_text(table).find('@') != std::string::npos)
            throw Error("table", "load it", EINVAL);
    }

    /// An image is as long as the device was at its point.
    void require_length(const Table& table) const
    {
        for (const TableLine& line : table)
            if (const auto* image = std::get_if<InterposeImage>(&line.target))
                for (const Point& point : origins.at(image->origin).points)
                    if (image->point && point.id == image->point->id && point.length != line.length)
                        throw Error("table", "load it", EINVAL);
    }

    Sectors length_of(const Interpose& origin) const
    {
        for (const auto& [name, device] : devices)
            if (const Interpose* line = interpose_line(device.live); line != nullptr && line->origin == origin.origin)
                return length(device.live);
        return {0};
    }

    /// Swaps in what is loaded; a table that must not run twice does not.
    void start(FakeDevice& device)
    {
        device.suspended = false;
        if (!device.inactive.empty()) {
            swap_origin(device);
            device.live = std::exchange(device.inactive, {});
        }
        if (runs_once(device.live))
            for (const auto& [name, other] : devices)
                if (&other != &device && !other.suspended && other.live == device.live)
                    throw std::logic_error(name.text() + " and another device run a table that must run once");
    }

    void swap_origin(const FakeDevice& device)
    {
        const Interpose* before = interpose_line(device.live);
        const Interpose* after = interpose_line(device.inactive);
        if (before != nullptr && (after == nullptr || after->origin != before->origin))
            origins.erase(before->origin);
        if (after != nullptr && origins.count(after->origin) == 0)
            origins[after->origin].generation = after->origin;
    }

    void require_store_unused(const Interpose& line, const FakeOrigin& origin) const
    {
        const auto is_image = [&](const TableLine& l) {
            const auto* image = std::get_if<InterposeImage>(&l.target);
            return image != nullptr && image->origin == line.origin;
        };
        for (const auto& [name, device] : devices)
            if (std::any_of(device.live.begin(), device.live.end(), is_image))
                throw Error("origin", "change its store", EBUSY);
        for (const Point& point : origin.points)
            if (point.kind == PointKind::snapshot && point.valid)
                throw Error("origin", "change its store", EBUSY);
    }

    /// Of an interpose-base.
    void answer_base(const DmName& name, const Message& message)
    {
        if (const auto* redirect = std::get_if<RedirectMessage>(&message))
            endpoints[name] = std::get<DeviceNumber>(redirect->endpoint);
        else if (std::holds_alternative<DirectMessage>(message))
            endpoints.erase(name);
        else
            throw Error(name.text(), "send a message", EINVAL);
    }
    static std::string answer_to(const RedirectMessage&, const Interpose&, FakeOrigin&)
    {
        throw Error("origin", "redirect", EINVAL);
    }
    static std::string answer_to(const DirectMessage&, const Interpose&, FakeOrigin&)
    {
        throw Error("origin", "direct", EINVAL);
    }
    std::string answer_to(const HookMessage&, const Interpose& line, FakeOrigin& origin) const
    {
        if (!live_below(line))
            throw Error("origin", "hook it", EINVAL);
        if (origin.last_id != 0)
            throw Error("origin", "hook it", EBUSY);
        origin.hooked = true;
        return {};
    }
    static std::string answer_to(const UnhookMessage&, const Interpose&, FakeOrigin& origin)
    {
        if (origin.hooked) {
            origin.hooked = false;
            origin.lost = true;
            origin.points.clear();
        }
        return {};
    }
    std::string answer_to(const StoreMessage& m, const Interpose& line, FakeOrigin& origin)
    {
        if (devices.count(store_name(m.store)) == 0)
            throw Error("origin", "use a store", ENODEV);
        if (origin.store != m.store)
            require_store_unused(line, origin);
        // Where it is not told, its origin's writes would destroy what it keeps, and the other way round.
        if (m.inside.empty() == (devices.count(file_name(m.store)) != 0))
            throw Error("origin", "use a store", EINVAL);
        origin.store = m.store;
        return {};
    }
    std::string answer_to(const UnstoreMessage&, const Interpose& line, FakeOrigin& origin)
    {
        require_store_unused(line, origin);
        origin.store.reset();
        return {};
    }
    const Interpose& line_of(const Uuid& origin) const
    {
        for (const auto& [name, device] : devices)
            if (const Interpose* line = interpose_line(device.live); line != nullptr && line->origin == origin)
                return *line;
        throw Error("origin", "take a point", ENXIO);
    }
    /// All or none, as the module does.
    std::string answer_to(const TakeMessage& m, const Interpose&, FakeOrigin&)
    {
        for (const SetMember& member : m.members) {
            const FakeOrigin& origin = origins.at(member.origin);
            if (live_below(line_of(member.origin)) && !origin.hooked)
                throw Error("origin", "take a point", ENOLINK);
            if (m.kind == PointKind::snapshot && !origin.store)
                throw Error("origin", "take a point", ENODEV);
        }
        std::vector<TakeAnswer> answer;
        const auto set = m.members.size() > 1 ? std::optional(m.members.back().origin) : std::nullopt;
        for (const SetMember& member : m.members) {
            FakeOrigin& origin = origins.at(member.origin);
            origin.points.push_back({++origin.last_id, m.kind, true, 0, member.point, Consistency::fs, 0, m.name,
                m.data, m.tags, length_of(line_of(member.origin)), set});
            answer.push_back({{origin.generation, origin.last_id}, Consistency::fs});
        }
        return to_text(answer);
    }
    using Selected = std::vector<std::pair<FakeOrigin*, Point*>>;

    /// The points that a message is for: all of them, or an error.
    template <typename AnyMessage> Selected select(const AnyMessage& m, const Interpose& line, const char* operation)
    {
        std::vector<SelectedPoint> all = {{line.origin, m.point}};
        all.insert(all.end(), m.others.begin(), m.others.end());
        Selected selected;
        for (const SelectedPoint& one : all) {
            FakeOrigin& origin = origins.at(line_of(one.origin).origin);
            if (origin.lost)
                throw Error("origin", operation, ENXIO);
            if (std::any_of(
                    selected.begin(), selected.end(), [&](const auto& other) { return other.first == &origin; }))
                throw Error("origin", operation, EINVAL);
            if (origin.generation != one.point.generation)
                throw Error("origin", operation, ESTALE);
            const auto point = std::find_if(origin.points.begin(), origin.points.end(),
                [&](const Point& other) { return other.id == one.point.id; });
            if (point == origin.points.end())
                throw Error("origin", operation, ENOENT);
            selected.emplace_back(&origin, &*point);
        }
        return selected;
    }

    void require_no_image(const Selected& selected, const char* operation) const
    {
        for (const auto& [origin, point] : selected)
            for (const auto& [name, device] : devices)
                for (const TableLine& l : device.live)
                    if (const auto* image = std::get_if<InterposeImage>(&l.target))
                        if (image->point == PointId{origin->generation, point->id})
                            throw Error("origin", operation, EBUSY);
    }

    std::string answer_to(const DropMessage& m, const Interpose& line, FakeOrigin&)
    {
        const Selected selected = select(m, line, "drop a point");
        require_no_image(selected, "drop a point");
        for (const auto& [origin, point] : selected)
            origin->points.erase(origin->points.begin() + (point - origin->points.data()));
        return {};
    }
    std::string answer_to(const ReleaseMessage& m, const Interpose& line, FakeOrigin&)
    {
        const Selected selected = select(m, line, "release a point");
        require_no_image(selected, "release a point");
        for (const auto& [origin, point] : selected)
            point->kind = PointKind::checkpoint;
        return {};
    }
    std::string answer_to(const ChangeMessage& m, const Interpose& line, FakeOrigin&)
    {
        const Selected selected = select(m, line, "change a point");
        for (const auto& [origin, point] : selected)
            for (const Point& other : origin->points)
                if (other.id != point->id && m.name == other.name)
                    throw Error("origin", "change a point", EEXIST);
        for (const auto& [origin, point] : selected) {
            point->name = m.name.value_or(point->name);
            point->tags = m.tags.value_or(point->tags);
            point->data = m.data.value_or(point->data);
        }
        return {};
    }
    static std::string answer_to(const PointsMessage&, const Interpose&, FakeOrigin&) { return {}; }
    static std::string answer_to(const ChangedMessage&, const Interpose&, FakeOrigin&) { return {}; }

    std::uint32_t minor_ = 0;
};

class FakeHost final : public Host {
public:
    /// Shared with the FakeDm, so that one number counts through all calls.
    explicit FakeHost(Trouble& trouble) : trouble_(trouble) {}
    /// The same host, in another machine's trouble.
    FakeHost(const FakeHost& other, Trouble& trouble)
        : links(other.links), files(other.files), formatted(other.formatted), blanked(other.blanked),
          erased(other.erased), trouble_(trouble)
    {
    }
    FakeHost(const FakeHost&) = delete;
    FakeHost& operator=(const FakeHost&) = delete;

    std::set<std::string> links;
    std::set<std::string> files;
    std::vector<std::string> formatted;
    std::vector<std::string> blanked;
    std::vector<std::string> erased;

    void format_store(const StoreFormat& store) override
    {
        trouble_.during(store.path, [&] { formatted.push_back(store.path); });
    }
    void make_store_file(const std::string& path, Sectors, DeviceNumber, std::chrono::milliseconds) override
    {
        trouble_.during(path, [&] { files.insert(path); });
    }
    /// Of which whole chunks are 64 sectors, then more than enough.
    std::vector<Run> store_file_extents(const std::string& path) override
    {
        if (files.count(path) == 0)
            throw Error(path, "open", ENOENT);
        return {{{1000}, {100}}, {{2048}, {10000}}, {{12048}, {10000}}};
    }
    void remove_store_file(const std::string& path, DeviceNumber) override
    {
        trouble_.during(path, [&] { files.erase(path); });
    }
    void blank_ends(const Blank& blank) override
    {
        trouble_.during(blank.path, [&] { blanked.push_back(blank.path); });
    }
    void erase_signatures(const std::string& path) override
    {
        trouble_.during(path, [&] { erased.push_back(path); });
    }
    void sync_filesystems(const std::vector<std::string>&) override
    {
        trouble_.during("sync", [] {});
    }
    Obstacle tracing_obstacle() override { return {"it is switched off", "switch it on"}; }
    void make_link(const std::string& path, const DmName&) override
    {
        trouble_.during(path, [&] { links.insert(path); });
    }
    void remove_link(const std::string& path) override
    {
        trouble_.during(path, [&] { links.erase(path); });
    }

private:
    Trouble& trouble_;
};

} // namespace dmsnap::test
