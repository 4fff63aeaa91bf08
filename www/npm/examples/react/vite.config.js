import react from "@vitejs/plugin-react";
import piecework from "piecework/vite";

export default { plugins: [react(), piecework()] };
