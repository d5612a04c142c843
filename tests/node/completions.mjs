// The AI SDK as a client of /v1/chat/completions; the outcome is printed as JSON.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const [url, how] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: 'causerie', baseURL: `${url}/v1`, apiKey: 'none', includeUsage: true });
const asked = { model: provider('small'), prompt: 'Hello', maxRetries: 0 };

const weather = tool({
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => ({ city, celsius: -3 }),
});

async function streamed(options) {
  const answer = streamText({ ...asked, ...options, onError: () => {} });
  const deltas = [];
  for await (const text of answer.textStream) deltas.push(text);
  return { deltas, ...(await told(answer)) };
}

async function told(answer) {
  return {
    text: await answer.text,
    reasoning: await answer.reasoningText,
    finishReason: await answer.finishReason,
    usage: await answer.totalUsage,
    steps: (await answer.steps).map(step => step.toolResults.map(({ input, output }) => ({ input, output }))),
  };
}

const ways = {
  generate: async () => told(await generateText(asked)),
  stream: () => streamed({}),
  generateTools: async () => told(await generateText({ ...asked, tools: { weather }, stopWhen: stepCountIs(3) })),
  streamTools: () => streamed({ tools: { weather }, stopWhen: stepCountIs(3) }),
};

try {
  console.log(JSON.stringify(await ways[how]()));
} catch (error) {
  const { name, message, statusCode, isRetryable } = error;
  console.log(JSON.stringify({ name, message, statusCode, isRetryable }));
}
