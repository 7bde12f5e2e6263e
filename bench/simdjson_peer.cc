// simdjson_peer.cc: the parser to beat: simdjson On-Demand reads all fields of the same bytes.
// Every field is looked at and converted; strings are taken as views, numbers as numbers. It does
// less than the decoder (no columns, no limits, no times, no digest), so the comparison is not in
// our favour.
#include <simdjson.h>

#include <cstddef>
#include <cstdint>

namespace {

struct totals {
    std::uint64_t strings = 0;
    std::uint64_t integers = 0;
    double numbers = 0;
    std::size_t events = 0;
};

void read_event(simdjson::ondemand::object event, totals &sums) {
    for (auto field : event) {
        std::string_view name = field.unescaped_key();
        simdjson::ondemand::value value = field.value();
        sums.strings += name.size();
        switch (value.type()) {
        case simdjson::ondemand::json_type::string:
            sums.strings += std::string_view(value.get_string()).size();
            break;
        case simdjson::ondemand::json_type::number:
            if (value.is_integer()) {
                sums.integers += std::uint64_t(std::int64_t(value.get_int64()));
            } else {
                sums.numbers += double(value.get_double());
            }
            break;
        default:
            break;
        }
    }
}

} // namespace

// Parses one body; `capacity` bytes are allocated, SIMDJSON_PADDING of them behind the body.
// Returns the number of events, or 0 if something is wrong.
extern "C" std::size_t simdjson_peer_read(const char *body, std::size_t bytes,
                                          std::size_t capacity) {
    static simdjson::ondemand::parser parser;
    totals sums;
    try {
        auto document = parser.iterate(body, bytes, capacity);
        for (auto event : document["events"]) {
            read_event(event.get_object(), sums);
            sums.events++;
        }
    } catch (const simdjson::simdjson_error &) {
        return 0;
    }
    // The sums are used, so that nothing is optimised away.
    return sums.strings + sums.integers > 0 && sums.numbers >= 0 ? sums.events : 0;
}

extern "C" const char *simdjson_peer_name() {
    static std::string name = simdjson::get_active_implementation()->name();
    return name.c_str();
}
