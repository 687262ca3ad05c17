// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// The tool dies at any of its ioctls: the device is not stopped by it, and `dmsnap recover` ends where the verb began
// or finished.
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "dm_state.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"
#include "records.h"
#include "wait.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <iostream>
#include <limits>
#include <regex>
#include <set>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

Arguments strace(const Arguments& options, const Arguments& verb)
{
    Arguments command = {"strace", "-f", "-qq", "-o", "/tmp/kill-trace"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back("dmsnap");
    command.insert(command.end(), verb.begin(), verb.end());
    return command;
}

/// The ioctls of a verb, but for those of a child, which strace counts apart: whether each changes something.
std::vector<bool> ioctls_of(const Arguments& verb)
{
    static const std::regex changing(
        "DM_(DEV_CREATE|DEV_REMOVE|DEV_RENAME|DEV_SUSPEND|TABLE_LOAD|TABLE_CLEAR|TARGET_MSG)");
    must(strace({"-e", "trace=ioctl"}, verb));
    std::vector<bool> found;
    const std::string trace = must({"cat", "/tmp/kill-trace"});
    const std::string tool = fmt::format("{} ", words(trace).at(0)); // its number
    for (const std::string_view line : lines(trace))
        if (line.starts_with(tool) && line.find("ioctl(") != std::string_view::npos)
            found.push_back(std::regex_search(line.begin(), line.end(), changing));
    return found;
}

/// A verb, and what there is before it.
struct Case {
    const char* name;
    std::vector<Arguments> before;
    Arguments verb;
    Arguments dead = {}; ///< a verb that was killed half-way just before
    bool leaves_nothing = false;
};

/// What is besides the origin: a second one for sets, and a device to copy to.
const std::string second_name = "test-second";
const std::string target_name = "test-target";

Arguments with(Arguments words, const std::string& last)
{
    words.push_back(last);
    return words;
}

std::vector<Case> cases(const Origin& origin)
{
    const std::string device = origin.device();
    const Arguments attach = origin.attaching({"attach"});
    const Arguments create = origin.attaching({"create", "-n", "s1", "--store", store_disk()});
    const Arguments second = {"create", "-n", "s2", device};
    const Arguments checkpoint = origin.attaching({"checkpoint", "-n", "c1"});
    const Arguments clone = with(origin.attaching({"clone", "--yes", "--store", store_disk()}), target_name);
    return {
        {"attach", {}, attach},
        {"create", {}, create},
        {"create on an attached device", {attach}, create},
        {"create a second one", {create}, second},
        {"checkpoint", {}, checkpoint},
        {"checkpoint of an attached device", {attach}, checkpoint},
        {"remove", {create, second}, {"remove", "s2"}},
        {"remove the last one", {create}, {"remove", "s1"}},
        {"remove a checkpoint", {checkpoint}, {"remove", "c1"}},
        {"remove --keep-point", {create, second}, {"remove", "--keep-point", "s2"}},
        {"rename", {create}, {"rename", "s1", "s9"}},
        {"rename a checkpoint", {checkpoint}, {"rename", "c1", "c9"}},
        {"change", {create}, {"change", "--addtag", "daily", "s1"}},
        {"detach", {checkpoint}, {"detach", device}},
        {"detach --force", {create, checkpoint, second}, {"detach", "--force", "--yes", device}},
        {"recover", {}, {"recover"}, create},
        {"create a set", {}, with(create, second_name)},
        {"checkpoint of a set", {}, with(checkpoint, second_name)},
        {"remove a set", {with(create, second_name)}, {"remove", "s1"}},
        {"keep the points of a set", {with(create, second_name)}, {"remove", "--keep-point", "s1"}},
        {"rename a set", {with(create, second_name)}, {"rename", "s1", "s9"}},
        {"change a set", {with(checkpoint, second_name)}, {"change", "--addtag", "daily", "c1"}},
        {"clone", {}, clone, {}, true},
        {"clone of an attached device", {attach}, clone, {}, true},
    };
}

class Killing {
public:
    /// Dies at so many ioctls of a verb, drawn by lot, or at all there are.
    Killing(std::unique_ptr<Origin> origin, std::size_t points)
        : points_(points), origin_(std::move(origin)), second_(linear_origin(spare_disk(), 16_MiB, 1, second_name)),
          filesystem_(second_->path(), "ext4"),
          target_(target_name, fmt::format("0 98304 linear {} 65536\n", spare_disk())), writer_(origin_->path())
    {
        learn_pace();
    }

    void run_all()
    {
        std::vector<Case> all = cases(*origin_);
        while (all.size() > std::max<std::size_t>(rounds("kill_cases"), 1))
            all.erase(all.begin() + static_cast<std::ptrdiff_t>(random_.below(all.size())));
        for (const Case& what : all)
            kill_in(what);
        writer_.stop();
        reset();
        CHECK(read_ring(origin_->path()).fault == "");
        std::cout << fmt::format("{} kills; the longest wait for a write {} ms, of {} ms allowed\n", kills_,
            longest_.count(), allowed_.count());
    }

private:
    /// Writes stop for longer on a slow machine that emulates this one; a second is meant for a real one.
    void learn_pace()
    {
        const auto begin = Clock::now();
        Milliseconds longest{0};
        while (Clock::now() - begin < std::chrono::seconds(2))
            longest = std::max(longest, time_to_write());
        allowed_ = std::max(Milliseconds(1000), 4 * longest);
    }

    Milliseconds time_to_write() const
    {
        const auto begin = Clock::now();
        writer_.write_on(2);
        return std::chrono::duration_cast<Milliseconds>(Clock::now() - begin);
    }

    void reset()
    {
        run_tool({"detach", "--force", "--yes", origin_->device(), second_->device()});
        REQUIRE(run_tool({"recover"}).status == 0);
    }

    void set_up(const Case& what)
    {
        reset();
        for (const Arguments& verb : what.before)
            tool(verb);
        if (!what.dead.empty())
            die_half_way(what.dead);
        if (what.leaves_nothing)
            must({"udevadm", "settle"}); // who looks into what was written to would be waited for
    }

    /// After half of the ioctls that change something.
    void die_half_way(const Arguments& verb)
    {
        if (half_way_ == 0) {
            const std::vector<bool> ioctls = ioctls_of(verb);
            reset();
            auto left = std::count(ioctls.begin(), ioctls.end(), true) / 2;
            while (left >= 0)
                left -= ioctls.at(half_way_++) ? 1 : 0;
        }
        const Arguments kill = {"-e", "trace=ioctl", "-e", fmt::format("inject=ioctl:signal=KILL:when={}", half_way_)};
        REQUIRE(test::run(strace(kill, verb)).status == 128 + 9);
    }

    void kill_in(const Case& what)
    {
        set_up(what);
        const std::string before = lasting_state();
        const std::vector<bool> ioctls = ioctls_of(what.verb);
        const std::string done = lasting_state();
        REQUIRE((before == done) == what.leaves_nothing);
        bool as_before = false;
        for (const std::size_t number : chosen(ioctls)) {
            INFO(what.name << ", killed at ioctl " << number << " of " << ioctls.size());
            if (!as_before)
                set_up(what);
            as_before = kill_at(what, number, before, done);
        }
    }

    /// Which ioctls to die at: those that change something, the one after each, and others, by lot; or all.
    std::vector<std::size_t> chosen(const std::vector<bool>& ioctls)
    {
        std::vector<std::size_t> all;
        std::vector<std::size_t> weighty;
        for (std::size_t i = 1; i <= ioctls.size(); ++i) {
            all.push_back(i);
            if (ioctls[i - 1] || (i > 1 && ioctls[i - 2]))
                weighty.push_back(i);
        }
        if (points_ >= all.size())
            return all;
        std::set<std::size_t> drawn;
        while (drawn.size() < std::min(points_, weighty.size())) {
            const auto& from = random_.below(4) == 0 ? all : weighty;
            drawn.insert(from[random_.below(from.size())]);
        }
        return {drawn.begin(), drawn.end()};
    }

    std::vector<std::pair<std::string, Ring>> read_images() const
    {
        std::vector<std::pair<std::string, Ring>> images;
        for (const char* point : {"s1", "s2", "s9"})
            if (std::filesystem::exists(origin_->image(point)))
                images.emplace_back(point, read_ring(origin_->image(point)));
        return images;
    }

    /// Whether all is as before.
    bool kill_at(const Case& what, std::size_t number, const std::string& before, const std::string& done)
    {
        const auto images = read_images();
        const Result killed = test::run(
            strace({"-e", "trace=ioctl", "-e", fmt::format("inject=ioctl:signal=KILL:when={}", number)}, what.verb));
        INFO(killed.err);
        CHECK(killed.status == 128 + 9);
        ++kills_;
        const Milliseconds waited = time_to_write();
        longest_ = std::max(longest_, waited);
        CHECK(waited <= allowed_);
        must({"timeout", "10", "sh", "-c",
            fmt::format("echo alive >{0}/alive && sync --file-system {0}", filesystem_.directory())});

        // Whatever changes something mends first: here, what has nothing to do itself.
        const Arguments next = kills_ % 2 == 0 ? Arguments{"recover"} : Arguments{"detach", target_name};
        const Result recovered = run_tool(next);
        INFO(next.front() << ": " << recovered.out << recovered.err);
        CHECK(recovered.status == 0);
        const std::string now = lasting_state();
        if (now != before || !what.dead.empty())
            CHECK(now == done);
        const Result checked = run_tool({"check"});
        INFO(checked.out << checked.err);
        CHECK(checked.status == 0);
        CHECK(udev_cookies() == 0);
        for (const auto& [point, ring] : images)
            if (std::filesystem::exists(origin_->image(point)))
                CHECK(read_ring(origin_->image(point)) == ring);
        for (const auto& [point, ring] : read_images())
            CHECK(ring.fault == "");
        return now == before;
    }

    Random random_;
    std::size_t points_;
    std::unique_ptr<Origin> origin_;
    std::unique_ptr<Origin> second_;
    Filesystem filesystem_; ///< of the second one, frozen for a point of both
    DmDevice target_;
    RecordWriter writer_;
    Milliseconds allowed_{1000};
    Milliseconds longest_{0};
    unsigned kills_ = 0;
    std::size_t half_way_ = 0; ///< 0: not known yet
};

} // namespace

TEST_CASE("a tool that is killed leaves nothing that recover does not mend", "[kill]")
{
    Killing(origin_under_test(48_MiB), rounds("kill_points")).run_all();
}

TEST_CASE("a tool that is killed at any ioctl of any verb leaves nothing that recover does not mend", "[kill-every]")
{
    Killing(origin_under_test(48_MiB), std::numeric_limits<std::size_t>::max()).run_all();
}
