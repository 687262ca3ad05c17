// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// The one place where a device is suspended from user space.
//
//   this process                       its child
//   builds every request
//   forks ---------------------------> locks its memory
//   waits at a pipe                    suspend live; compare health; start or stop base; resume live
//     | a report: done or undone <-----' or, if one fails: all back, newest first
//     ` the pipe breaks: the child was killed.  Once more: each request may be repeated.
//
// A raid table reads the state of its legs when it is loaded, and writes it when it runs. A leg that fails in between
// would be read as good by a table that does not know. Once nothing is under way any more the word of the running raid
// says whether one did.
//
// While the live device is suspended whoever writes to it waits: the page cache, a logger, the memory of this very
// program on a swap device.  So the child asks for no memory, touches no file, logs nothing and catches no signal; it
// talks to device-mapper by ioctl alone, for libdevmapper allocates and logs.  It is another process so that one who
// kills the program, even with SIGKILL, does not stop it in the middle.
//
// udev is not waited for: neither name nor links of the live device change, and the base is private.  So there is no
// cookie that a killed program could leave behind.
#include "dm/critical.h"

#include "base/error.h"
#include "base/signals.h"
#include "table/status.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <libdevmapper.h>
#include <linux/dm-ioctl.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace dmsnap {
namespace {

/// Room for table and status as the kernel prints them; of the live device's table only the beginning is read.
constexpr std::size_t status_bytes = 64 << 10;
/// Stack the child may need, touched before it matters.
constexpr std::size_t stack_bytes = 64 << 10;
constexpr int urgent = -18; // as LVM in its critical section
constexpr unsigned children_max = 3;

/// An ioctl with all it needs, made beforehand and good for several times.
class Request {
public:
    Request(unsigned long command, const DmName& name, std::uint32_t flags, std::size_t room = 0)
        : command_(command), bytes_(sizeof(dm_ioctl) + room)
    {
        pristine_.version[0] = DM_VERSION_MAJOR;
        pristine_.data_size = static_cast<std::uint32_t>(bytes_.size());
        pristine_.data_start = sizeof(dm_ioctl);
        pristine_.flags = flags;
        std::copy(name.text().begin(), name.text().end(), pristine_.name);
    }

    /// For a resume: what udev's rules find in the event.
    Request with_udev_flags(std::uint16_t flags) &&
    {
        pristine_.event_nr = static_cast<std::uint32_t>(flags | DM_UDEV_PRIMARY_SOURCE_FLAG) << DM_UDEV_FLAGS_SHIFT;
        return std::move(*this);
    }

    /// For a load.
    void add_target(const TableLine& line)
    {
        const std::string arguments = target_arguments(line.target);
        const std::size_t begin = bytes_.size();
        // A line begins where the one before it says: at a multiple of eight, behind its NUL.
        const std::size_t length = (sizeof(dm_target_spec) + arguments.size() + 1 + 7) & ~std::size_t{7};
        bytes_.resize(begin + length);
        dm_target_spec spec{};
        spec.sector_start = line.start.count;
        spec.length = line.length.count;
        spec.next = static_cast<std::uint32_t>(length);
        const std::string type = target_type(line.target);
        std::copy_n(type.begin(), std::min(type.size(), sizeof(spec.target_type) - 1), spec.target_type);
        std::memcpy(&bytes_[begin], &spec, sizeof(spec));
        std::memcpy(&bytes_[begin + sizeof(spec)], arguments.c_str(), arguments.size() + 1);
        ++pristine_.target_count;
        pristine_.data_size = static_cast<std::uint32_t>(bytes_.size());
    }

    /// 0 or an errno value.
    int run(int control) noexcept
    {
        std::memcpy(bytes_.data(), &pristine_, sizeof(pristine_));
        return ioctl(control, command_, bytes_.data()) == 0 ? 0 : errno;
    }

    // Of the answer.
    bool is_suspended() const noexcept { return (answer()->flags & DM_SUSPEND_FLAG) != 0; }
    bool has_loaded() const noexcept { return (answer()->flags & DM_INACTIVE_PRESENT_FLAG) != 0; }
    bool is_interpose() const noexcept
    {
        const auto line = line_at(0);
        return answer()->target_count > 0 && line && is_type(*line, INTERPOSE_TARGET);
    }

    /// Of a table: whether it is the other one's.
    bool tells_same_table(const Request& other) const noexcept
    {
        if (answer()->target_count != other.answer()->target_count)
            return false;
        std::uint32_t at = 0;
        std::uint32_t other_at = 0;
        for (std::uint32_t i = 0; i < answer()->target_count; ++i) {
            const auto line = line_at(at);
            const auto other_line = other.line_at(other_at);
            if (!line || !other_line || line->sector_start != other_line->sector_start ||
                line->length != other_line->length || !is_type(*line, other_line->target_type) ||
                text_at(at) != other.text_at(other_at))
                return false;
            at = line->next;
            other_at = other_line->next;
        }
        return true;
    }

    /// Of a status: whether the raid lines, one after the other, have the same failed legs as `health`.
    bool has_failures_of(std::string_view health) const noexcept
    {
        std::uint32_t at = 0;
        for (std::uint32_t i = 0; i < answer()->target_count; ++i) {
            const auto line = line_at(at);
            if (!line)
                return false;
            if (is_type(*line, "raid")) {
                const std::string_view word = raid_health(text_at(at));
                if (!same_failures(word, health.substr(0, word.size())))
                    return false;
                health.remove_prefix(word.size());
            }
            at = line->next;
        }
        return health.empty();
    }

private:
    const dm_ioctl* answer() const noexcept { return reinterpret_cast<const dm_ioctl*>(bytes_.data()); }

    /// `at` is counted from the first line.
    std::optional<dm_target_spec> line_at(std::uint32_t at) const noexcept
    {
        dm_target_spec spec;
        const std::size_t begin = std::size_t{answer()->data_start} + at;
        if (begin + sizeof(spec) > bytes_.size())
            return std::nullopt;
        std::memcpy(&spec, &bytes_[begin], sizeof(spec));
        return spec;
    }

    /// Only where there is a line.
    std::string_view text_at(std::uint32_t at) const noexcept
    {
        const std::size_t begin = std::size_t{answer()->data_start} + at + sizeof(dm_target_spec);
        return {bytes_.data() + begin, strnlen(bytes_.data() + begin, bytes_.size() - begin)};
    }

    static bool is_type(const dm_target_spec& line, const char* type) noexcept
    {
        return std::strncmp(line.target_type, type, sizeof(line.target_type)) == 0;
    }

    unsigned long command_;
    dm_ioctl pristine_{};
    std::vector<char> bytes_;
};

Request load_request(const DmName& name, const Table& table)
{
    Request request(DM_TABLE_LOAD, name, DM_SECURE_DATA_FLAG);
    for (const TableLine& line : table)
        request.add_target(line);
    return request;
}

/// What the child tells.  Fits into a pipe at once.
struct Report {
    int number = 0; ///< errno value of the request that failed
    const char* subject = "";
    const char* operation = "";
    const char* reason = nullptr; ///< instead of the errno value's; all from before the fork
    const char* next_step = "dmesg | tail: the kernel's own sentence about it is there";
};

class Section {
public:
    Section(const SuspendedSwap& swap, std::uint16_t base_flags, std::uint16_t live_flags)
        : live_(swap.name.text()), base_(swap.base.text()), from_base_(interpose_line(swap.before) != nullptr),
          to_base_(swap.to_base), health_(swap.health),
          look_(DM_TABLE_STATUS, swap.name, DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG, status_bytes),
          ours_(DM_TABLE_STATUS, swap.name, DM_STATUS_TABLE_FLAG | DM_QUERY_INACTIVE_TABLE_FLAG, status_bytes),
          loaded_(ours_),
          ask_health_(DM_TABLE_STATUS, swap.to_base ? swap.name : swap.base, DM_NOFLUSH_FLAG, status_bytes),
          suspend_(DM_DEV_SUSPEND, swap.name, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG),
          resume_(Request(DM_DEV_SUSPEND, swap.name, DM_SKIP_LOCKFS_FLAG).with_udev_flags(live_flags)),
          clear_(DM_TABLE_CLEAR, swap.name, 0), load_before_(load_request(swap.name, swap.before)),
          start_base_(Request(DM_DEV_SUSPEND, swap.base, DM_SKIP_LOCKFS_FLAG).with_udev_flags(base_flags)),
          stop_base_(DM_DEV_SUSPEND, swap.base, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG)
    {
    }

    /// To be called before run(): what is loaded now is what is to be swapped in.
    int note_ours(int control) { return ours_.run(control); }
    /// Before: by one that died.
    bool was_suspended() const { return ours_.is_suspended(); }
    const char* device() const { return live_.c_str(); }

    /// All of it, or back to where it began.  `first`: no child before this one has touched anything.
    Report run(int control, bool first) noexcept
    {
        Report report;
        begun_ = !first;
        if (!forwards(control, report) && begun_)
            backwards(control);
        return report;
    }

private:
    bool fails(Report& report, int number, const char* subject, const char* operation) noexcept
    {
        report = {number, subject, operation};
        return number != 0;
    }

    bool forwards(int control, Report& report) noexcept
    {
        return has_table(control, report) && suspends(control, report) && keeps_health(control, report) &&
               !fails(report, set_base(control, to_base_), base_.c_str(), to_base_ ? "start it" : "stop it") &&
               has_table(control, report) && !fails(report, resume_.run(control), live_.c_str(), "resume it");
    }

    bool suspends(int control, Report& report) noexcept
    {
        begun_ = true;
        return !fails(report, suspend_.run(control), live_.c_str(), "suspend it");
    }

    bool refuse(Report& report, const char* reason, const char* next_step) noexcept
    {
        report = {ESTALE, live_.c_str(), "swap its table", reason, next_step};
        return false;
    }

    /// Without the other table in it a resume would run the one it has, and the base runs that too, or neither does;
    /// with a stranger's the base runs beside something unknown.
    bool has_table(int control, Report& report) noexcept
    {
        if (fails(report, look_.run(control), live_.c_str(), "swap its table"))
            return false;
        if (!look_.has_loaded())
            return look_.is_interpose() == to_base_ ||
                   refuse(report, "somebody has cleared the new table meanwhile", "again");
        if (fails(report, loaded_.run(control), live_.c_str(), "swap its table"))
            return false;
        return loaded_.tells_same_table(ours_) ||
               refuse(report, "somebody else has loaded another table for it meanwhile", "again");
    }

    /// Until the swap is done: what runs now is asked about what will run.
    bool keeps_health(int control, Report& report) noexcept
    {
        if (health_.empty() || !look_.has_loaded())
            return true;
        if (fails(report, ask_health_.run(control), live_.c_str(), "ask for the state of its legs"))
            return false;
        if (ask_health_.has_failures_of(health_))
            return true;
        return refuse(report, "a leg of the raid has failed, or come back, since its new table was loaded",
            "again, once lvs -a shows which leg it is");
    }

    int set_base(int control, bool running) noexcept
    {
        return running ? start_base_.run(control) : stop_base_.run(control);
    }

    /// What fails here is left to whoever reads the error and looks again.  Two tables that run at once would destroy
    /// data: rather a device that waits.  Whoever finds it half-way can tell, by a base that is suspended, that it was we
    /// who suspended the live device.
    void backwards(int control) noexcept
    {
        if (look_.run(control) != 0)
            return;
        // Another child has ended it, but perhaps not the base.
        if (!look_.is_suspended()) {
            set_base(control, look_.is_interpose());
            return;
        }
        if (stop_base_.run(control) != 0 || clear_.run(control) != 0 || look_.run(control) != 0)
            return;
        // The module takes no table for an origin that is suspended; it has one only if it is no interpose now.
        if (look_.is_interpose() != from_base_ && load_before_.run(control) != 0)
            return;
        if (resume_.run(control) == 0 && from_base_)
            start_base_.run(control);
    }

    std::string live_;
    std::string base_;
    bool from_base_;
    bool to_base_;
    std::string health_;
    bool begun_ = false;
    Request look_;
    Request ours_;
    Request loaded_;
    Request ask_health_;
    Request suspend_;
    Request resume_;
    Request clear_;
    Request load_before_;
    Request start_base_;
    Request stop_base_;
};

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() { reset(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const { return fd_; }
    void reset()
    {
        if (fd_ >= 0)
            close(fd_);
        fd_ = -1;
    }

private:
    int fd_;
};

void touch_stack() noexcept
{
    volatile char page[stack_bytes];
    for (std::size_t i = 0; i < sizeof(page); i += 4096)
        page[i] = 0;
}

/// In the child: nothing here returns, allocates or throws.
[[noreturn]] void be_child(Section& section, int control, int pipe, bool first) noexcept
{
    setsid(); // what ends the terminal does not end it
    touch_stack();
    Report report;
    // What another one has begun is ended also without.
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0 && first) {
        report = {errno, section.device(), "lock the memory of what swaps its table"};
    } else {
        setpriority(PRIO_PROCESS, 0, urgent);
        report = section.run(control, first);
    }
    // Nobody there to read it: nothing to be done about it.
    [[maybe_unused]] const auto ignored = write(pipe, &report, sizeof(report));
    _exit(0);
}

/// Nothing if the child died without a word.
std::optional<Report> read_report(int pipe)
{
    Report report;
    ssize_t bytes = 0;
    do
        bytes = read(pipe, &report, sizeof(report));
    while (bytes < 0 && errno == EINTR);
    return bytes == static_cast<ssize_t>(sizeof(report)) ? std::optional(report) : std::nullopt;
}

/// There can be no child.  Where nothing was begun nothing is; what was begun does not wait for better times.
std::optional<Report> without_child(int number, const Section& section, bool first)
{
    if (!first || section.was_suspended())
        return std::nullopt;
    return Report{number, section.device(), "start the process that swaps its table", nullptr,
        "again, with room for one more process and file"};
}

/// Nothing if the child was killed.  `first` until there was one.
std::optional<Report> run_in_child(Section& section, int control, bool& first)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return without_child(errno, section, first);
    Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    pid_t child = 0;
    int number = 0;
    {
        const SignalsWait wait;
        child = fork();
        if (child == 0)
            be_child(section, control, writing.get(), first);
        number = errno;
    }
    if (child < 0)
        return without_child(number, section, first);
    first = false;
    writing.reset();
    const auto report = read_report(reading.get());
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return report;
}

Report run_in_some_process(Section& section, int control)
{
    bool first = true;
    for (unsigned i = 0; i < children_max; ++i)
        if (const auto report = run_in_child(section, control, first))
            return *report;
    // Somebody kills every child: what was begun has to be ended all the same, with memory that is here if possible.
    const SignalsWait wait;
    mlockall(MCL_CURRENT | MCL_FUTURE);
    const Report report = section.run(control, first);
    munlockall();
    return report;
}

} // namespace

void run_critical_section(const SuspendedSwap& swap, std::uint16_t base_flags, std::uint16_t live_flags)
{
    const Descriptor control(open("/dev/" DM_DIR "/" DM_CONTROL_NODE, O_RDWR | O_CLOEXEC));
    if (control.get() < 0)
        throw Error("device-mapper", "open its control node", errno);
    Section section(swap, base_flags, live_flags);
    if (const int number = section.note_ours(control.get()))
        throw Error(swap.name.text(), "read its inactive table", number);
    const Report report = run_in_some_process(section, control.get());
    if (report.number != 0 && report.reason != nullptr)
        throw Error(report.subject, report.operation, report.reason, report.next_step);
    if (report.number != 0)
        throw Error(report.subject, report.operation, report.number, report.next_step);
}

} // namespace dmsnap
