// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// The kernel runs out of memory where the module asks for it, in the workers that keep old data. Whatever becomes of
// the snapshot, the device is right and its writers go on. Needs a kernel with fault injection, which of those here only
// the debug kernel has.
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "disk.h"
#include "dm-interpose.h"
#include "environment.h"
#include "origin.h"
#include "wait.h"
#include "worker.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <thread>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes chunk = 4_KiB;
const std::string debugfs = "/sys/kernel/debug/";

void put(const std::string& path, const std::string& value)
{
    std::ofstream file(path);
    if (!(file << value << std::flush))
        throw std::runtime_error("cannot write " + value + " to " + path);
}

std::string get(const std::string& path)
{
    std::ifstream file(path);
    std::string value;
    std::getline(file, value);
    return value;
}

enum class Of { pages, objects };

std::string folder(Of of) { return debugfs + (of == Of::pages ? "fail_page_alloc/" : "failslab/"); }

/// The workers that serve the module, among few others: those bound to no processor, and the module's own for want
/// of memory. Which ones changes with the load, so that they are looked for again and again.
void mark_workers()
{
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string comm = get(entry.path() / "comm");
        if (!comm.starts_with("kworker/u") && !comm.starts_with("dm-interpose"))
            continue;
        std::ofstream file(entry.path() / "make-it-fail"); // it may be gone
        file << "1" << std::flush;
    }
}

/// While one lives, so many of a hundred allocations of the workers fail.
class Scarce {
public:
    Scarce(Of of, unsigned percent)
        : folder_(folder(of)), marker_([] {
              mark_workers();
              std::this_thread::sleep_for(std::chrono::milliseconds(20));
          })
    {
        mark_workers();
        put(folder_ + "task-filter", "Y");
        put(folder_ + "ignore-gfp-wait", "N");
        if (of == Of::pages)
            put(folder_ + "min-order", "0");
        put(folder_ + "verbose", "0");
        put(folder_ + "interval", "1");
        put(folder_ + "times", std::to_string(many));
        put(folder_ + "probability", std::to_string(percent));
    }
    ~Scarce() { std::ofstream(folder_ + "probability") << "0" << std::flush; }
    Scarce(const Scarce&) = delete;
    Scarce& operator=(const Scarce&) = delete;

    /// How many have failed.
    long failed() const { return many - std::stol(get(folder_ + "times")); }

private:
    static constexpr long many = 1000000000;
    std::string folder_;
    Worker marker_;
};

/// Writes anywhere in its part of a device, and knows what has to be there.
class PartWriter {
public:
    PartWriter(const std::string& path, Bytes start, Bytes length)
        : disk_(path), start_(start), length_(length), expected_(length), seen_(length)
    {
        disk_.read(start_, expected_.span());
    }

    void write()
    {
        const Bytes length{sector * random_.between(1, longest / sector)};
        const Bytes at{sector * random_.below((length_.count - length.count) / sector + 1)};
        // Written from where it has to be afterwards; aligned memory is not asked for by these disks.
        const auto bytes = expected_.span().subspan(at.count, length.count);
        std::ranges::fill(bytes, static_cast<std::byte>(random_.next()));
        disk_.write({start_.count + at.count}, bytes);
    }

    bool right()
    {
        disk_.read(start_, seen_.span());
        return std::ranges::equal(seen_.span(), expected_.span());
    }

private:
    static constexpr std::uint64_t sector = 512;
    static constexpr std::uint64_t longest = 128 << 10;
    Random random_;
    Disk disk_;
    Bytes start_;
    Bytes length_;
    Buffer expected_;
    Buffer seen_;
};

/// A device with a store, and four writers that share chunks where their parts meet.
class Subject {
public:
    explicit Subject(Bytes size) : origin_(linear_origin(origin_disk(), size, 1))
    {
        constexpr unsigned writers = 4;
        Disk(origin_->path()).fill(random_);
        tool({"attach", "--chunksize", "4k", origin_->device()});
        const std::uint64_t part = size.count / writers / 512 * 512 - 512;
        for (unsigned i = 0; i < writers; ++i)
            writers_.emplace_back(origin_->path(), Bytes{i * part}, Bytes{part});
    }

    const Origin& origin() const { return *origin_; }

    void create()
    {
        copy(origin_->path(), the_copy(), origin_->size());
        tool({"create", "-n", "s1", "--store", store_disk(), origin_->device()});
    }

    /// All write at once until so many chunks have been copied since, or the snapshot is invalid.
    void write_until(std::uint64_t copied)
    {
        const std::uint64_t end = origin_->status().copied_chunks + copied;
        std::deque<Worker> workers;
        for (PartWriter& writer : writers_)
            workers.emplace_back([&writer] { writer.write(); });
        wait_until("enough copies", 300, [&] {
            const auto status = origin_->status();
            return status.copied_chunks >= end || status.failure.has_value();
        });
        for (Worker& worker : workers) {
            worker.stop();
            CHECK(worker.error() == 0);
            CHECK(worker.steps() > 0);
        }
    }

    /// The device holds what was written, and the snapshot what it was taken of, or says that it does not; whether it is
    /// valid.
    bool check()
    {
        for (PartWriter& writer : writers_)
            CHECK(writer.right());
        const auto status = origin_->status();
        CHECK(status.waiting_writes == 0);
        CHECK(status.copy_bytes.used == 0);
        if (status.snapshots == 0) {
            CHECK(status.failure == INTERPOSE_FAILURE_NO_MEMORY);
            CHECK(list_field("s1", "reason") == INTERPOSE_FAILURE_NO_MEMORY);
            CHECK(error_of_reading(origin_->image("s1")) == EIO);
        } else {
            CHECK(differences(origin_->image("s1"), the_copy(), origin_->size(), chunk, Cached::no) == "");
        }
        // What differs from the copy was written since.
        ChunkSet written(origin_->size(), chunk);
        for_each_difference(
            origin_->path(), the_copy(), origin_->size(), chunk, Cached::no, [&](std::uint64_t i) { written.add(i); });
        CHECK(written.not_in(parse_changed(changed(*origin_, "s1", ""), origin_->size(), chunk)) == "");
        return status.snapshots > 0;
    }

    void remove() { tool({"remove", "s1"}); }

private:
    Random random_;
    std::unique_ptr<Origin> origin_;
    std::deque<PartWriter> writers_;
};

/// Entries that an index has in stock.
constexpr std::uint64_t stock = 4096;

} // namespace

TEST_CASE("without a page for copies every write waits for the reserve, and nothing is lost", "[no-memory]")
{
    Subject subject(32_MiB);
    subject.create();
    {
        const Scarce scarce(Of::pages, 100);
        subject.write_until(stock / 4);
        CHECK(scarce.failed() > 0);
    }
    CHECK(subject.check());
    subject.remove();
}

TEST_CASE("without memory for entries the stock is used up, and then the snapshot is told invalid", "[no-memory]")
{
    Subject subject(32_MiB);
    subject.create();
    {
        const Scarce scarce(Of::objects, 100);
        subject.write_until(2 * stock);
        CHECK(scarce.failed() > 0);
    }
    CHECK_FALSE(subject.check());
    subject.remove();
    // With memory again it is as new.
    subject.create();
    subject.write_until(stock);
    CHECK(subject.check());
    subject.remove();
}

TEST_CASE("while memory comes and goes an image is right or says that it is not", "[no-memory]")
{
    Subject subject(32_MiB);
    for (std::uint64_t round = 0; round < rounds("no_memory_rounds"); ++round)
        for (const unsigned percent : {10U, 50U, 90U}) {
            INFO("round " << round << ", " << percent << " percent");
            subject.create();
            {
                const Scarce pages(Of::pages, percent);
                const Scarce objects(Of::objects, percent);
                subject.write_until(stock / 2);
                CHECK(pages.failed() + objects.failed() > 0);
            }
            subject.check();
            subject.remove();
        }
}
