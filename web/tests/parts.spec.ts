import { expect, test } from "@playwright/test";
import { countsBy, histogramsBy, quantile, samplesOf, since } from "../src/operate/metrics";
import { hashOf, routeOf } from "../src/route";
import { reasonIn, shortfallIn } from "../src/words";

const TEXT = `# HELP twofold_request_seconds From the first byte to the last.
# TYPE twofold_request_seconds histogram
twofold_request_seconds_bucket{le="0.1",route="/search"} 10.0
twofold_request_seconds_bucket{le="0.2",route="/search"} 18.0
twofold_request_seconds_bucket{le="+Inf",route="/search"} 20.0
twofold_requests_total{method="POST",route="/search",status="200"} 19.0
twofold_requests_total{method="POST",route="/search",status="429"} 1.0
twofold_answers_by_rung_total{rung="a \\"b\\""} 3.0
`;

test("reads figures as Prometheus has them", () => {
  const samples = samplesOf(TEXT);
  expect(samples).toHaveLength(6);
  expect(countsBy(samples, "twofold_requests_total", "route").get("/search")).toBe(20);
  expect(countsBy(samples, "twofold_answers_by_rung_total", "rung").get('a "b"')).toBe(3);
  const histogram = histogramsBy(samples, "twofold_request_seconds", "route").get("/search")!;
  expect(histogram).toEqual({ bounds: [0.1, 0.2, Infinity], counts: [10, 18, 20] });
  expect(quantile(histogram, 0.25)).toBeCloseTo(0.05);
  expect(quantile(histogram, 0.7)).toBeCloseTo(0.15);
  expect(quantile(histogram, 0.99)).toBe(0.2);
  expect(quantile({ bounds: [], counts: [] }, 0.5)).toBeNull();
});

test("tells what came between two looks, also when the server started anew", () => {
  const bounds = [1, Infinity];
  const now = { bounds, counts: [5, 6] };
  expect(since(now, { bounds, counts: [2, 3] }).counts).toEqual([3, 3]);
  expect(since(now, { bounds, counts: [2, 9] })).toBe(now);
  expect(since(now, undefined)).toBe(now);
});

test("an address leads back to where it was made", () => {
  const route = { view: "search", text: "a&b #1", item: "", filters: { categories: ["x"], year: { min: 1990 } } } as const;
  expect(routeOf(hashOf({ ...route, filters: { categories: ["x"], year: { min: 1990 } } }))).toEqual(route);
  expect(routeOf("#/nowhere").view).toBe("for-you");
  expect(routeOf('#/search?filters={"a":{"b":1},"c":[],"d":[{}],"e":1,"f":[1]}').filters).toEqual({ f: [1] });
  expect(routeOf("#/search?filters=[").filters).toEqual({});
});

test("says in Chinese what a pipeline says in English", () => {
  expect(reasonIn("zh", "because of Heat")).toEqual({ cause: "history", text: "因为你关注过《Heat》" });
  expect(reasonIn("zh", "matches “heat”").text).toBe("符合“heat”");
  expect(reasonIn("zh", "something else")).toEqual({ cause: "other", text: "Something else" });
  expect(reasonIn("en", "popular now")).toEqual({ cause: "popular", text: "Popular now" });
  expect(shortfallIn("zh", "only 3 items matching the text, the filters and the exclusions")).toContain("3");
  expect(shortfallIn("zh", "no item left after filters, exclusions and what was seen")).toBe("没有符合条件的物品。");
});
