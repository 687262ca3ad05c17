// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
//   suspend; compare health; copy parts, each durable before the next; swap the device below; resume with what is loaded
//
// A mirror's leg that fails at the last moment is not known to whoever looked a moment before.  Once nothing is under way
// any more, what the raid says is all there is to know, and what its legs hold does not change.
#include "dm/quiet_swap.h"

#include "base/error.h"
#include "dm/request.h"
#include "dm/suspended.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <unistd.h>

namespace dmsnap {
namespace {

/// Opened for direct I/O, past every cache.
class DirectFile {
public:
    DirectFile(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_DIRECT | O_CLOEXEC))
    {
        if (fd_ < 0)
            throw Error(path, "open it", errno);
    }
    ~DirectFile() { close(fd_); }
    DirectFile(const DirectFile&) = delete;
    DirectFile& operator=(const DirectFile&) = delete;
    int fd() const noexcept { return fd_; }

private:
    int fd_;
};

/// Copies parts of a device to another one, with memory it has from the beginning.
class PartsCopy {
public:
    explicit PartsCopy(const CopiedParts& parts)
        : parts_(parts), from_(parts.from, O_RDONLY), to_(parts.to, O_RDWR),
          bytes_(static_cast<std::byte*>(std::aligned_alloc(alignment, piece)))
    {
        if (!bytes_)
            throw std::bad_alloc();
        std::fill_n(bytes_.get(), piece, std::byte{0}); // the pages are there
    }

    /// Whether anything was copied, maybe by another child.
    bool begun() const noexcept { return begun_; }

    bool run(Report& report) noexcept
    {
        begun_ = true;
        for (const Run& part : parts_.parts) {
            const auto end = (part.start + part.length).bytes().count;
            for (auto at = part.start.bytes().count; at < end; at += piece)
                if (!copy(report, at, std::min(piece, end - at)))
                    return false;
            if (report.fails(fdatasync(to_.fd()) == 0 ? 0 : errno, parts_.to.c_str(), "make its end durable"))
                return false;
        }
        return true;
    }

    /// Zeros in its place; the last first, which says what it is.
    void take_back() noexcept
    {
        std::fill_n(bytes_.get(), piece, std::byte{0});
        for (auto part = parts_.parts.rbegin(); part != parts_.parts.rend(); ++part) {
            const auto end = (part->start + part->length).bytes().count;
            Report ignored;
            for (auto at = part->start.bytes().count; at < end; at += piece)
                write(ignored, at, std::min(piece, end - at));
        }
        fdatasync(to_.fd());
    }

private:
    static constexpr std::size_t alignment = 1 << 16; // the largest page there is
    static constexpr std::uint64_t piece = 1 << 20;

    bool copy(Report& report, std::uint64_t at, std::uint64_t length) noexcept
    {
        const auto position = static_cast<off_t>(at);
        const auto all = static_cast<ssize_t>(length);
        return !report.fails(error_of(pread(from_.fd(), bytes_.get(), length, position), all), parts_.from.c_str(),
                   "read its end") &&
               write(report, at, length);
    }

    bool write(Report& report, std::uint64_t at, std::uint64_t length) noexcept
    {
        return !report.fails(
            error_of(pwrite(to_.fd(), bytes_.get(), length, static_cast<off_t>(at)), static_cast<ssize_t>(length)),
            parts_.to.c_str(), "write its end");
    }

    static int error_of(ssize_t done, ssize_t all) noexcept { return done == all ? 0 : done < 0 ? errno : EIO; }

    struct Free {
        void operator()(std::byte* bytes) const { std::free(bytes); }
    };

    const CopiedParts& parts_;
    DirectFile from_;
    DirectFile to_;
    std::unique_ptr<std::byte, Free> bytes_;
    bool begun_ = false;
};

class QuietSection final : public Section {
public:
    QuietSection(const QuietSwap& swap, std::uint16_t flags)
        : device_(swap.name.text()), health_(swap.health),
          look_(DM_TABLE_STATUS, swap.name, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, Request::status_bytes),
          before_(look_), look_loaded_(DM_TABLE_STATUS, swap.name, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG,
                              Request::status_bytes),
          loaded_(look_loaded_), ask_health_(DM_TABLE_STATUS, swap.name, DM_NOFLUSH_FLAG, Request::status_bytes),
          suspend_(DM_DEV_SUSPEND, swap.name, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG),
          resume_(Request(DM_DEV_SUSPEND, swap.name, DM_SKIP_LOCKFS_FLAG).with_udev_flags(flags)),
          clear_(DM_TABLE_CLEAR, swap.name, 0)
    {
        if (swap.below) {
            below_name_ = swap.below->text();
            below_.emplace(Request(DM_DEV_SUSPEND, *swap.below, DM_SKIP_LOCKFS_FLAG).with_udev_flags(flags));
            look_below_.emplace(
                DM_TABLE_STATUS, *swap.below, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, Request::status_bytes);
            below_before_ = look_below_;
            clear_below_.emplace(DM_TABLE_CLEAR, *swap.below, 0);
        }
        if (swap.copied)
            copy_.emplace(*swap.copied);
    }

    int note(int control) override
    {
        int number = before_.run(control);
        if (number == 0 && below_before_)
            number = below_before_->run(control);
        return number != 0 ? number : loaded_.run(control);
    }
    const char* device() const noexcept override { return device_.c_str(); }
    bool was_suspended() const noexcept override { return before_.is_suspended(); }

    Report run(int control, bool first) noexcept override
    {
        Report report;
        first_ = first;
        if (!first && is_done(control))
            return report;
        begun_ = !first;
        if (!forwards(control, report) && begun_)
            backwards(control);
        return report;
    }

private:
    bool forwards(int control, Report& report) noexcept
    {
        return is_as_noted(control, report) && suspends(control, report) && is_healthy(control, report) &&
               (!copy_ || copy_->run(report)) && (!below_ || swaps_below(control, report)) &&
               is_as_noted(control, report) && !report.fails(resume_.run(control), device(), "resume it");
    }

    bool suspends(int control, Report& report) noexcept
    {
        begun_ = true;
        return !report.fails(suspend_.run(control), device(), "suspend it");
    }

    /// What the kernel runs counts: somebody may have cleared what was loaded.
    bool swaps_below(int control, Report& report) noexcept
    {
        return !report.fails(below_->run(control), below_name_.c_str(), "swap its table") &&
               !report.fails(look_below_->run(control), below_name_.c_str(), "swap its table") &&
               (!look_below_->tells_same_table(*below_before_) ||
                   refuse(report, "somebody has cleared the new table of what lies below it", "again"));
    }

    /// Another child has got to the end; without a table of its own that cannot be told, and all is done once more.
    bool is_done(int control) noexcept
    {
        return loaded_.has_loaded() && look_.run(control) == 0 && !look_.is_suspended() && !look_.has_loaded() &&
               look_.tells_same_table(loaded_);
    }

    bool is_as_noted(int control, Report& report) noexcept
    {
        if (report.fails(look_.run(control), device(), "swap its table") ||
            report.fails(look_loaded_.run(control), device(), "swap its table"))
            return false;
        return (look_.tells_same_table(before_) && look_.has_loaded() == loaded_.has_loaded() &&
                   (!look_.has_loaded() || look_loaded_.tells_same_table(loaded_))) ||
               refuse(report, "somebody else has given it another table meanwhile", "dmsnap status, then again");
    }

    bool is_healthy(int control, Report& report) noexcept
    {
        return !report.fails(ask_health_.run(control), device(), "ask for the state of its legs") &&
               (ask_health_.has_health(health_) ||
                   refuse(report, "a leg of its mirror has failed meanwhile", "dmsnap status, which shows which"));
    }

    bool refuse(Report& report, const char* reason, const char* next_step) noexcept
    {
        report = {ESTALE, device(), "swap its table", reason, next_step};
        return false;
    }

    /// A resume would swap in what is loaded.  What fails here is left to whoever reads the error and looks again.
    void backwards(int control) noexcept
    {
        if (look_.run(control) != 0 || !look_.is_suspended())
            return;
        const bool seen = below_ && look_below_->run(control) == 0;
        // With the table it had nobody uses what was copied; with the new one it is needed.
        const bool had_old = seen && look_below_->tells_same_table(*below_before_);
        if (seen && had_old && copy_ && (copy_->begun() || !first_))
            copy_->take_back();
        if (seen && clear_below_->run(control) == 0)
            below_->run(control);
        if (clear_.run(control) == 0)
            resume_.run(control);
    }

    std::string device_;
    std::string below_name_;
    std::string health_;
    bool begun_ = false;
    bool first_ = true;
    Request look_;
    Request before_; ///< as look_
    Request look_loaded_;
    Request loaded_; ///< as look_loaded_
    Request ask_health_;
    Request suspend_;
    Request resume_;
    Request clear_;
    std::optional<Request> look_below_;
    std::optional<Request> below_before_; ///< as look_below_
    std::optional<Request> clear_below_;
    std::optional<Request> below_; ///< swaps in what it has loaded, if there is anything
    std::optional<PartsCopy> copy_;
};

} // namespace

void swap_quiet(const QuietSwap& swap, std::uint16_t flags)
{
    QuietSection section(swap, flags);
    run_suspended(section);
}

} // namespace dmsnap
